"""The package's metadata: one version, classifiers that match what is tested, and one list of tools."""

import re
import tomllib
from importlib.metadata import metadata, version
from pathlib import Path

from setuptools import find_packages

import ratelimit

ROOT = Path(__file__).parents[2]
CODE = {".py", ".pyx", ".pxd"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_installed_version_is_the_version_of_the_package():
    assert version("ratelimit-core") == ratelimit.__version__


def test_version_is_written_in_one_place():
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "ratelimit.__version__"}


def test_classifiers_begin_with_the_required_python():
    classifiers = metadata("ratelimit-core").get_all("Classifier")
    minors = [int(match[1]) for text in classifiers if (match := re.search(r":: 3\.(\d+)$", text))]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert PROJECT["project"]["requires-python"] == f">=3.{minors[0]}"


def test_pre_commit_uses_the_tools_of_the_lint_group():
    hooks = re.findall(r'additional_dependencies: \["(.*)"\]', (ROOT / ".pre-commit-config.yaml").read_text())
    assert hooks
    assert set(hooks) <= set(PROJECT["dependency-groups"]["lint"])


def test_changelog_has_an_entry_for_this_version_or_an_unreleased_one():
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] in ("Unreleased", ratelimit.__version__)


def test_every_folder_of_the_package_is_installed():
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "ratelimit").rglob("*") if path.suffix in CODE}
    include = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {".".join(folder.parts) for folder in folders} == set(find_packages(str(ROOT), include=include))
