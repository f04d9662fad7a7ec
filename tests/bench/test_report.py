"""The report: figures, targets, and that the page in the documentation is what was measured."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ratelimit.bench import command, report
from ratelimit.bench.report import Report, Section, Table, Target

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.0704, "0.070"),
        (0.9996, "1.00"),
        (1.234, "1.23"),
        (9.996, "10.0"),
        (24.0026, "24.0"),
        (1234.5, "1,234"),
    ],
)
def test_figures_have_three_significant_digits(number, text):
    assert report.figure(number) == text


@pytest.mark.parametrize(
    ("measured", "at_least", "met"),
    [(2.004, False, True), (2.006, False, False), (1.996, True, True), (1.994, True, False), (2_000, True, True)],
)
def test_target_is_compared_with_the_printed_figure(measured, at_least, met):
    assert Target("cost", 2, measured, "x", at_least).met is met


def test_target_without_measurement_is_neither_met_nor_missed():
    target = Target("threads", 0.9, None, "x", at_least=True, remark="this Python has a GIL")
    assert target.row == ["threads", "at least 0.900 x", "this Python has a GIL", "not measured"]
    written = Report("ratelimit bench", {}, [Section("Cores", "", [], [target, Target("small", 24, 24, "bytes")])])
    assert "Met: 1 of 2. Missed: 0. Not measured: 1. " in report.to_markdown(written)
    assert Report.from_json(written.to_json()) == written


def test_report_lists_missed_targets_and_survives_json():
    table = Table("times", ["", "ns", "ratio"], [["`allow`", 53.21, None]])
    targets = [Target("fast", 2, 1.5, "x", remark="this one"), Target("small", 24, 25, "bytes")]
    written = Report("ratelimit bench", {"numpy": "2"}, [Section("Cost", "Its meaning.", [table], targets)])
    page = report.to_markdown(written)
    assert "| fast | at most 2.00 x | 1.50 x (this one) | met |" in page
    assert "| small | at most 24.0 bytes | 25.0 bytes | **missed** |" in page
    assert "Met: 1 of 2. Missed: 1." in page
    assert "| `allow` | 53.2 |  |" in page
    assert "allow  53.2" in report.to_text(written)
    assert Report.from_json(written.to_json()) == written


def test_page_of_the_documentation_has_the_saved_measurements():
    sys.path.insert(0, str(DOCS))
    import benchmark_pages as pages

    measured = pages.saved()
    assert pages.benchmarks_page(measured) == (DOCS / "benchmarks.md").read_text()
    assert {title for one in pages.QUESTIONS for title in one.sections} >= {one.title for one in measured.sections}
    targets = (DOCS / "benchmark-targets.md").read_text()
    assert pages.targets_page(measured) == targets
    assert all(f"| {target.what} |" in targets for section in measured.sections for target in section.targets)


def test_readme_has_the_measured_numbers():
    """A new measurement changes the README, too."""
    measured = Report.from_json((DOCS / "benchmarks.json").read_text())
    tables = {table.title: table.rows for section in measured.sections for table in section.tables}
    readme = " ".join((DOCS.parent / "README.md").read_text().split())
    times = {row[0]: row[1] for row in tables["`allow`, nanoseconds"]}
    assert (
        f"`allow` takes {times['`TokenBucket.allow`']:.0f} ns, where `dict.get` takes {times['`dict.get`']:.0f}"
        in readme
    )
    ratios = [row[1] for row in tables["Other libraries: how many times our time"]]
    assert f"take {min(ratios):.1f} to {max(ratios):.0f} times as long" in readme
    sizes = {row[0]: row[1] for row in tables["Bytes a key"]}
    others = [size for name, size in sizes.items() if not name.startswith("`")]
    assert (
        f"to {sizes['`TokenBucket`']:.0f} bytes for each key when it is full; other libraries take {min(others):.0f} to"
        in readme
    )
    assert f"to {max(others):.0f}. A flood" in readme


def test_prints_a_saved_report_without_measuring(tmp_path, capsys):
    assert command.main(["--load", str(DOCS / "benchmarks.json"), "--markdown", str(tmp_path / "page.md")]) == 0
    assert "== Targets ==" in capsys.readouterr().out
    assert "## Over a network" in (tmp_path / "page.md").read_text()


def test_describes_the_machine():
    assert json.dumps(report.machine())
    assert all(report.machine().values())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--json", "no-such-folder/report.json"], "no-such-folder/report.json: expected a file in an existing folder"),
        (["--markdown", "."], ".: expected a file in an existing folder"),
        (["--load", "no-such-file"], "No such file or directory: 'no-such-file'"),
        (["--load", __file__], ": expected a file that --json wrote"),
    ],
)
def test_rejects_wrong_arguments_before_measuring(arguments, says, monkeypatch, capsys):
    monkeypatch.setattr(command, "SECTIONS", {})
    assert command.main(arguments) == 2
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert says in errors
    assert errors.count("\n") == 1


def test_interruption_keeps_the_measured_sections(monkeypatch, capsys):
    whole = Section("first", "")

    def interrupted(effort, say):
        raise KeyboardInterrupt

    modules = {
        "first": SimpleNamespace(measure=lambda effort, say: whole),
        "second": SimpleNamespace(measure=interrupted),
    }
    monkeypatch.setattr(command, "SECTIONS", {name: name for name in modules})
    monkeypatch.setattr(command, "import_module", modules.__getitem__)
    assert command.run(["first", "second"], True, "command").sections == [whole]
    assert "interrupted in second" in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        command.run(["second"], True, "command")
