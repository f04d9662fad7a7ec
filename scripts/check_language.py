#!/usr/bin/env python3
"""Check the repository's prose for phrases that readers have to decipher, and name the plain wording.

    scripts/check_language.py [FILE ...]

Prose is documentation, comments, docstrings, messages and the names of tests. Pygments finds it in each language. Code
and code spans are blanked out, character by character, so that a phrase is found across line breaks and its line number
is right. Without arguments, all files that git tracks or would add are read. Exit status: 1 if a phrase was found.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Generic, Name, String, Text, _TokenType

ROOT = Path(__file__).resolve().parent.parent
QUOTING = {ROOT / "scripts/check_language.py", ROOT / "tests/project/test_check_language.py"}  # the phrases themselves
CODE = "\0"  # in place of each character that is not prose; no phrase goes across it

BE = r"\b(?:am|are|be|been|is|was|were)"
MODAL = r"(?:can|could|did|do|does|had|has|have|may|must|will|would)"
A_NOUN = "a noun: 'a client that', 'the process that', 'anything that'"

# Phrases, and the plain wording. A space is any whitespace. Lower case is either case, except in `(?-i:...)`.
PHRASES = (
    # An actor without a noun.
    (r"\b(?:who(?:m|so)?ever|whom|(?:no|some|any|every)body)\b", A_NOUN),
    (r"\b(?:as|but|by|for|from|is|not|of|on|only|than|that|those|to|what|with) who\b", A_NOUN),
    # A sentence that is not a question, a heading or a table's cell.
    (r"(?-i:\b(?:Who|What)\b)(?:[^.?!|\0\n]|\n(?!\s*\n)|\.(?=\w))*\.(?!\w)", "the noun first: 'A client that'"),
    # A docstring that goes on from the name of its function.
    (r"(?<=\0)(?-i:Also|And|But|Nor|Or)\b", "a sentence of its own"),
    # Negations.
    (rf"{BE} (?-i:none)\b", "'is not a ...', 'is not one of ...'"),
    (rf"\b(?-i:none) (?:are|is|was|were|{MODAL})\b", "the noun: 'no key is'"),
    (rf"(?<!\bthere\s){BE} no (?!(?:fewer|less|longer|more|one|other)\b|\w+er than\b)[a-z]+", "'is not a ...'"),
    (r"\b(?:had|has|have) not (?:a|an|any|enough|its|one|the|their)\b", "'does not have'"),
    (r"\bwhat (?:are|is) (?:less|longer|later|more|not) ", "a noun: 'longer lines', 'anything that is not'"),
    # Reports.
    (r"\b(?:tells|told)\b", "'reports', 'shows', 'receives', 'is given'"),
    (rf"\bsays\b|{BE} said\b", "'reports', 'names', 'gives', 'contains'"),
    # A message about a wrong value: the value comes after a placeholder, which is code.
    (
        r"\b(?:must|should|has to) (?:be|begin|have)\b[^\n.;]*?, (?:but )?not[^\n\0.;]*(?=\0)",
        "'name: expected X, got Y'",
    ),
    # A riddle where there is a word.
    (rf"\bst(?:ands|ood)\b(?! for\b)|\b(?:that|to|which|{MODAL}) stand\b(?! for\b)", "'is', 'appears', 'stops'"),
    (rf"(?:{BE} to be|\b{MODAL}(?:not)? be) had\b", "'is available', 'can be obtained'"),
    (r"\bthat there (?:are|is|was|were)\b", "name it: 'that a table exists'"),
    (r"\banew\b", "'again'"),
    (r", but for\b", "'except for'"),
    (r"\bone's (?:own|turn)\b", "'its own', or the noun"),
    (r"\b(?:come|comes|came) to terms\b", "'reconcile'"),
    (r"\b(?:whence|thence|hereby|thereby|therein|thereof|lest|shall|upon)\b", "a word of today"),
)
RULES = tuple((re.compile(phrase.replace(" ", r"\s+"), re.IGNORECASE), plain) for phrase, plain in PHRASES)

# The docstring of a Cython function that begins with a word that is not a verb; ruff's D401 does this for Python.
NOT_A_VERB = (
    r"(?:A|All|An|As|At|By|Each|Every|For|From|How|If|In|Is|It|Its|No|None|Of|On|One|That|The|This|To|What|When|Where"
    r"|Whether|Which|With)"
)
SIGNATURE = r"(?:cp?def|def)[ \t]+(?!class\b)[^\"\n]*\((?:[^\"\n]*\n){0,12}?[^\"\n]*:[ \t]*(?:#[^\n]*)?\n"
FRAGMENT = re.compile(
    rf'^(?P<decorator>[ \t]*@property\n)?[ \t]*{SIGNATURE}[ \t]*"""(?P<start>{NOT_A_VERB} [\w`]+)', re.MULTILINE
)

DIRECTIVES = {Comment.Hashbang, Comment.Preproc, Comment.PreprocFile}
LANGUAGES = {
    ".c": "c",
    ".cpp": "c",
    ".h": "c",
    ".html": "html+jinja",
    ".js": "javascript",
    ".md": "markdown",
    ".pml": "c",
    ".pxd": "cython",
    ".py": "python",
    ".pyi": "python",
    ".pyx": "cython",
    ".sh": "bash",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
    "Makefile": "make",
}


def language_of(path: Path) -> str | None:
    """Return the name of the file's Pygments lexer; None for a file without prose."""
    if language := LANGUAGES.get(path.suffix or path.name):
        return language
    if path.suffix:
        return None
    with path.open("rb") as file:
        first_line = file.readline(100)
    if not first_line.startswith(b"#!"):
        return None
    return "python" if b"python" in first_line else "bash"


def prose(text: str, language: str) -> str:
    """Return the text with everything but prose replaced by `CODE`; positions and line ends stay the same."""
    lexer: Lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    readable = "".join(_prose_of(token, value, language) for token, value in lexer.get_tokens(text))
    return re.sub(r"`(?:[^`\0\n]|\n(?!\s*\n))+`", lambda span: re.sub(r"[^`\n]", "x", span[0]), readable)


def _prose_of(token: _TokenType, value: str, language: str) -> str:
    if not value.strip():
        return value
    if token in Comment and token not in DIRECTIVES:
        return re.sub(r"^\s*(?:#+:?|//+|/?\*+)|\*/", lambda mark: " " * len(mark[0]), value, flags=re.MULTILINE)
    if token is String.Backtick and value.strip("`\n"):
        return value  # a code span, which is a part of its sentence, and not a fence
    if language == "markdown" and (token in Text or token in Generic or token is Name.Tag):
        return value
    if language == "html+jinja" and token in Text:
        return value
    if token in Name.Function and value.startswith("test_"):
        return value.replace("_", " ")
    if token in String.Doc or (token in String and token not in String.Interpol and " " in value.strip()):
        return re.sub(r"[\"']{1,3}(?=\s*$)|^[\"']{1,3}", lambda mark: CODE * len(mark[0]), value)
    return re.sub(r"[^\n]", CODE, value)


def findings(text: str, language: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the phrase and the plain wording of each finding, in the order of lines."""
    readable = prose(text, language)
    found = []
    for rule, plain in RULES:
        for match in rule.finditer(readable):
            line = readable.count("\n", 0, match.start()) + 1
            found.append((line, " ".join(match[0].split()), plain))
    if language == "cython":
        found += [
            (text.count("\n", 0, match.start("start")) + 1, match["start"], "an imperative: 'Return the ...'")
            for match in FRAGMENT.finditer(text)
            if not match["decorator"]
        ]
    yield from sorted(found)


def tracked_files() -> list[Path]:
    """Return the files that git tracks or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def main(arguments: list[str], write: Callable[[str], object] = print) -> int:
    """Write a line for each finding in the given files, or in all; return the exit status."""
    count = 0
    for path in [Path(argument) for argument in arguments] or tracked_files():
        if path.resolve() not in QUOTING and (language := language_of(path)):
            name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
            for line, phrase, plain in findings(path.read_text(encoding="utf-8"), language):
                write(f"{name}:{line}: {phrase[:60]!r}: write {plain}")
                count += 1
    if count:
        write(f"{count} findings")
    return min(count, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
