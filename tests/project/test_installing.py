"""One way to install: every page and every error names the distribution and an extra that it has."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "ratelimit").rglob("*.py")]


@pytest.mark.parametrize("name", ["cpython", "test-wheel", "build-wheels", "aarch64-python", "build-dist"])
def test_scripts_can_be_run(name):
    assert (ROOT / "scripts" / name).stat().st_mode & 0o111


def mentions(pattern):
    for page in PAGES:
        if "_build" not in page.parts:
            yield from ((page, match) for match in re.finditer(pattern, page.read_text()))


def test_an_extra_is_installed_by_the_name_of_the_distribution():
    """Quoted, since a shell may read the brackets as a pattern."""
    found = list(mentions(r"(.{13})(ratelimit(?:-core)?|\.)\[([a-z-]+)\](.)"))
    commands = [(page, match) for page, match in found if "install" in match[1]]
    assert len(commands) > 10
    for page, match in commands:
        before, name, extra, after = match.groups()
        assert (before[-13:], name, after) == ("pip install '", "ratelimit-core", "'"), (page, match[0])
        assert extra in EXTRAS, (page, match[0])


def test_an_error_that_names_an_extra_names_the_command():
    errors = list(mentions(r"requires the extra `([^`]+)`:? ?(.{29})"))
    assert len(errors) >= 5
    for page, match in errors:
        assert match[2] == "pip install 'ratelimit-core[" + match[1][0], (page, match[0])


def test_the_same_wheels_are_built_here_and_by_the_workflow():
    script = (ROOT / "scripts/build-wheels").read_text()
    series = re.search(r"set -- (3\.11[^;\n]*)", script)[1].split()
    built = PROJECT["tool"]["cibuildwheel"]["build"]
    assert built == [f"cp{one.replace('.', '')}-*" for one in series]
    workflow = (ROOT / ".github/workflows/wheels.yml").read_text()
    assert f"python: [{', '.join(one.removesuffix('-*') for one in built)}]" in workflow
    classified = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["project"]["classifiers"]))
    assert [one for one in series if not one.endswith("t")] == classified
