"""The language check: which phrases it finds, which it leaves alone, and where it looks for prose."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from tools import needs

SCRIPT = Path(__file__).parents[2] / "scripts/check_language.py"
spec = importlib.util.spec_from_file_location("check_language", SCRIPT)
check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)

RIDDLES = [
    "Whoever waits is served.",
    "The log belongs to nobody else.",
    "Ask with whom you count.",
    "Fair to those who came first.",
    "The time for who only looks.",
    "Who waits passes.",
    "Reads. What comes later is counted.",
    "What `allow` writes is kept 1.5 times as long.",
    "A table that is none.",
    "It fails when none is found.",
    "'x' is no header",
    "The parts are no limits.",
    "The file has not the table's size.",
    "what is longer is cut off",
    "The log tells the rest.",
    "unless it is told otherwise",
    "as its label says",
    "a body that is said to be long",
    "The value stands in the header.",
    "what may stand in a file",
    "no slot could be had",
    "Note that there is a limit.",
    "Measured anew.",
    "All verbs, but for quotas.",
    "a place of one's own",
    "Come to terms with a table.",
    "Later calls build upon it.",
]

PLAIN = [
    "Call `allow` with whatever you limit.",
    "A client that waits is admitted.",
    "the users who have a key",
    "Which limit should I set? What does it do? Who is limited?",
    "# What a limit does\n\nText. More text.",
    "| [What each promises](a.md) | proofs. |",
    "None is accepted.",
    "is not one of the limits",
    "The answer is no.",
    "There is no server, and where there are no keys, no memory is used.",
    "The clock is no longer read.",
    "It is no later than the deadline, and is no-store.",
    "The file has not been read.",
    "Each `{name}` stands for a segment.",
    "Colours that readers can tell apart.",
    "It is as if a key had never been used.",
    "not for the client but for the server",
    "the faster one's decisions",
    "a standard, a standalone server and a long-standing rule",
    "a body of text, and somebodies",
]


def phrases(text, language="markdown"):
    return [(line, phrase) for line, phrase, _ in check.findings(text, language)]


@pytest.mark.parametrize("text", RIDDLES)
def test_finds_each_phrase_once(text):
    assert len(phrases(text + "\n")) == 1


@pytest.mark.parametrize("text", PLAIN)
def test_leaves_plain_english_alone(text):
    assert phrases(text + "\n") == []


def test_finds_a_docstring_that_goes_on_from_a_name():
    assert phrases('def f():\n    """And closes."""\n    # And then.\n    """Ends. And closes."""\n', "python") == [
        (2, "And")
    ]


def test_every_rule_finds_one_of_the_phrases():
    examples = [*RIDDLES, "\0And closes.", "x must be a number, not \0"]
    unused = [rule.pattern for rule, _ in check.RULES if not any(rule.search(text) for text in examples)]
    assert unused == []


def test_finds_a_phrase_across_line_breaks_and_names_its_first_line():
    assert phrases("one\n\nA table that is\nnone.\n") == [(3, "is none")]
    assert phrases("x = 1\n# a table that is\n  # none\n", "python") == [(2, "is none")]
    assert phrases("/* a table that is\n * none */\n", "c") == [(1, "is none")]


def test_finds_nothing_across_code():
    assert phrases("x = 'it is', 'none at all'\n", "python") == []
    assert phrases("f()  # it is\nnone = 1  # x\n", "python") == []


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ('"""Whoever."""\n', "python", [(1, "Whoever")]),
        ('def f():\n    """Told.\n\n    Told.\n    """\n', "python", [(2, "Told"), (4, "Told")]),
        ("raise ValueError(f'{name} is no table')\n", "python", [(1, "is no table")]),
        ("raise ValueError(f'x must be in {all}, not {x!r}')\n", "python", [(1, "must be in " + "\0" * 5 + ", not")]),
        ("raise ValueError(f'x: expected one of {all}, got {x!r}')  # must be, not\n", "python", []),
        ("def test_who_is_told():\n    told = says = 1\n", "python", [(1, "told")]),
        ("def told(says): ...\n", "python", []),
        ("options = {'says': 1}\n", "python", []),
        ("cdef int told(uint64_t *says) noexcept nogil:  # told\n", "cython", [(1, "told")]),
        ("#include <told.h>\nint told; // told\n", "c", [(2, "told")]),
        ("#!/bin/sh\ntold=1  # told\n", "bash", [(2, "told")]),
        ("told: x  # told\n", "yaml", [(1, "told")]),
        ("told:  ## it is told\n\ttold\n", "make", [(1, "told")]),
        ("<p class='told'>It is told. {{ told }}</p>{# told #}\n", "html+jinja", [(1, "told"), (1, "told")]),
        ("**Told** [told](told.html) `told`\n", "markdown", [(1, "Told"), (1, "told")]),
        ("```python\ntold = 1  # told\n```\n", "markdown", [(2, "told")]),
        ("```\ntold\n```\nIt is told.\n\n```\ntold\n```\n", "markdown", [(4, "told")]),
    ],
)
def test_reads_prose_and_no_code(text, language, expected):
    assert phrases(text, language) == expected


def test_finds_the_docstring_of_a_cython_function_that_is_not_imperative():
    source = (
        'cdef class A(B):\n    """The class."""\n\n    @property\n    def a(self):\n        """The value."""\n\n'
        'cdef int f(\n    int x\n) noexcept nogil:  # why\n    """The sum."""\n\ndef g():\n    """Return it."""\n'
    )
    assert phrases(source, "cython") == [(11, "The sum")]


def test_knows_languages_by_suffix_name_and_first_line(tmp_path):
    names = {"a.pyx": "cython", "b.md": "markdown", "Makefile": "make", "c.json": None, "d": "python", "e": None}
    (tmp_path / "d").write_text("#!/usr/bin/env python3\n")
    (tmp_path / "e").write_bytes(b"\x7fELF")
    assert {name: check.language_of(tmp_path / name) for name in names} == names


def test_reads_every_kind_of_source_in_the_repository():
    needs("git")
    read = {path.suffix or path.name for path in check.tracked_files() if check.language_of(path)}
    assert {".py", ".pyx", ".pxd", ".pyi", ".md", ".h", ".toml", ".yaml", "Makefile", "run"} <= read


def test_exit_status_and_report_of_the_command(tmp_path):
    (tmp_path / "good.md").write_text("A client that waits is admitted.\n")
    (tmp_path / "bad.md").write_text("Plain.\nWhoever waits is admitted.\n")
    good = subprocess.run([sys.executable, SCRIPT, tmp_path / "good.md"], capture_output=True, text=True)
    bad = subprocess.run([sys.executable, SCRIPT, tmp_path / "bad.md"], capture_output=True, text=True)
    assert (good.returncode, good.stdout) == (0, "")
    assert bad.returncode == 1
    assert bad.stdout.startswith(f"{tmp_path}/bad.md:2: 'Whoever': write a noun")
    assert bad.stdout.endswith("1 findings\n")
