"""The pages about trust name tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_reports_name_tests_that_exist():
    page = (ROOT / "docs/reports.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)` in `(tests/[\w/.]+)`", page)
    assert len(named) == page.count("\n- ") > 20
    for name, file in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE), name


def test_proofs_name_files_that_exist():
    page = (ROOT / "docs/proofs.md").read_text(encoding="utf-8")
    files = set(re.findall(r"`(?:pytest )?(tests/[\w/.]+|scripts/[\w./-]+|ratelimit/[\w/.]+)`", page))
    assert len(files) > 8
    assert [file for file in sorted(files) if not (ROOT / file).exists()] == []
