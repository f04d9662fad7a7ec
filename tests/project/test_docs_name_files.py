"""The pages for contributors name source files that exist, and the map of the architecture names them all."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ratelimit"
SUFFIXES = {".py", ".pyx", ".pxd", ".h"}
FOLDERS = ("_configuration", "_engine", "_limiter", "_remote", "_storage", "limiters")
PAGES = [ROOT / name for name in ("CONTRIBUTING.md", "docs/architecture.md", "docs/gateway-request.md")]
PAGES += PACKAGE.rglob("__init__.py")


def sources():
    return [path for top in ("ratelimit", "tests", "benchmarks") for path in (ROOT / top).rglob("*.*")]


def files_named(text):
    """Return the source files in a text's code spans; NAME in one of them is for the reader to replace."""
    spans = re.findall(r"`([\w/]+\.(?:py|pyx|pxd|h))`", text)
    return {span for span in spans if "NAME" not in span}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_names_source_files_that_exist(page):
    existing = ["/" + path.relative_to(ROOT).as_posix() for path in sources()]
    named = files_named(page.read_text(encoding="utf-8"))
    assert [name for name in sorted(named) if not any(path.endswith("/" + name) for path in existing)] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_architecture_names_every_file_of_the_core(folder):
    named = {
        name.rpartition("/")[2] for name in files_named((ROOT / "docs/architecture.md").read_text(encoding="utf-8"))
    }
    modules = {Path(name).stem for name in named}
    files = [path for path in (PACKAGE / folder).iterdir() if path.suffix in SUFFIXES and path.stem != "__init__"]
    # A declaration goes with its module.
    missing = {path.name for path in files if path.name not in named and path.stem not in modules}
    assert missing == set()
