#!/usr/bin/env python3
"""Check that each link of a built site leads to a page of it, and each fragment to a place.

    scripts/check_links.py FOLDER

Links to other hosts are not followed. Exit status: 1 if a link is dead.
"""

import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links and the places of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name in ("id", "name") and value:
                self.places.add(value)


def dead_links(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each dead link, with the page that has it."""
    pages = {path: Page(path) for path in sorted(folder.rglob("*.html"))}
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file() or (
                parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].places
            ):
                yield path.relative_to(folder), link


def main(arguments: list[str], write: Callable[[str], object] = print) -> int:
    """Write a line for each dead link, and return the exit status."""
    [name] = arguments
    folder = Path(name).resolve()
    if not any(folder.rglob("*.html")):
        write(f"{name}: expected a folder with pages, got none")
        return 1
    dead = list(dead_links(folder))
    for path, link in dead:
        write(f"{path}: dead link {link}")
    return min(len(dead), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
