"""The files that a hosting service reads: they parse, and they call the project's own scripts."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"


def read(path):
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", sorted((GITHUB / "ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.stem)
def test_issue_template_has_required_questions(path):
    template = read(path)
    assert template["name"]
    assert template["description"].endswith(".")
    assert any(question.get("validations", {}).get("required") for question in template["body"])
    assert all(question["attributes"]["label"] for question in template["body"])


@pytest.mark.parametrize(("workflow", "command"), [("ci", ".ci/run"), ("nightly", "make nightly")])
def test_workflow_runs_the_script_of_the_project(workflow, command):
    (job,) = read(GITHUB / f"workflows/{workflow}.yml")["jobs"].values()
    assert job["steps"][-1] == {"run": command}
    assert job["timeout-minutes"]


@pytest.mark.parametrize("name", ["SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"])
def test_repository_has_the_page_that_strangers_look_for(name):
    assert len((ROOT / name).read_text()) > 500
