"""Make the playground one file: `python docs/playground/bundle.py playground.html`.

A browser does not load ES modules from files. So the modules become one, without their imports and exports, in the
page. The page needs nothing else, and works without a server.
"""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
MODULES = ("algorithms.js", "traffic.js", "panel.js", "main.js")  # each after those that it imports
IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w.]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=const |function |class )", re.MULTILINE)
NAME = re.compile(r"^(?:export )?(?:const|function|class) (\w+)", re.MULTILINE)


def script() -> str:
    """Return all modules as one."""
    parts: list[str] = []
    names: set[str] = set()
    for place, module in enumerate(MODULES):
        text = (HERE / module).read_text(encoding="utf-8")
        if not set(IMPORT.findall(text)) <= set(MODULES[:place]):
            raise ValueError(f"{module}: expected imports of {MODULES[:place]}, got {IMPORT.findall(text)}")
        found = NAME.findall(text)
        if twice := names & set(found):
            raise ValueError(f"{module}: expected names that no other module has, got {sorted(twice)}")
        names |= set(found)
        parts.append(EXPORT.sub("", IMPORT.sub("", text)))
    return "\n".join(parts)


def page(text: str = "") -> str:
    """Return the page, with the HTML of an explanation below the panels."""
    html = (HERE / "page.html").read_text(encoding="utf-8")
    style = (HERE / "style.css").read_text(encoding="utf-8")
    for mark, content in (("/* style.css */", style), ("/* script */", script()), ("<!-- text -->", text)):
        html = html.replace(mark, content)
    return html


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
