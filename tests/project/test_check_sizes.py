"""scripts/check_sizes.py finds a long file without a reason, and a package folder with too many entries."""

import importlib.util
import subprocess
from pathlib import Path

import pytest
from tools import needs

spec = importlib.util.spec_from_file_location("check_sizes", Path(__file__).parents[2] / "scripts/check_sizes.py")
check_sizes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_sizes)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Return a function that checks a repository with these files."""
    needs("git")
    monkeypatch.setattr(check_sizes, "ROOT", tmp_path)

    def check(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
        subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
        return check_sizes.main()

    return check


def test_a_long_file_needs_a_reason(repository, capsys):
    assert (
        repository({"a.py": "x = 1\n" * 400, "b.py": '"""B.\n\nIn one file: it is data.\n"""\n' + "x = 1\n" * 400}) == 0
    )
    assert repository({"c.py": "x = 1\n" * 401, "d.md": "text\n" * 1_000}) == 1
    assert capsys.readouterr().out.startswith("c.py: expected at most 400 lines")


def test_the_folder_of_the_package_is_small(repository, capsys):
    assert repository({f"ratelimit/a{number}.py": "" for number in range(24)}) == 0
    assert repository({"ratelimit/b/c.py": ""}) == 1
    assert "ratelimit: expected fewer than 25 entries, got 25" in capsys.readouterr().out
