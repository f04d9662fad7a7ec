"""The numbers of the README are those of the benchmarks."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
REPORT = json.loads((ROOT / "docs/benchmarks.json").read_text(encoding="utf-8"))
PEERS = r"(?:limits|throttled-py|pyrate-limiter|token-bucket|rust-py-rate-limit|floodgate-rs) "


def rows_of(title):
    """Return the cells of a table by the name of each row."""
    [rows] = [table["rows"] for section in REPORT["sections"] for table in section["tables"] if table["title"] == title]
    return {cells[0]: cells[1:] for cells in rows}


def numbers_in_readme(pattern):
    found = re.search(pattern.replace(" ", r"\s+"), (ROOT / "README.md").read_text(encoding="utf-8"))
    assert found is not None, f"the README has no {pattern!r}"
    return [int(number) if number.isdecimal() else float(number) for number in found.groups()]


def test_readme_has_the_measured_time_of_a_decision():
    times = rows_of("`allow`, nanoseconds")
    expected = [round(times[name][0]) for name in ("`TokenBucket.allow`", "`dict.get`")]
    assert numbers_in_readme(r"`allow` takes (\d+) ns, where `dict.get` takes (\d+)") == expected


def test_readme_has_the_measured_times_of_other_libraries():
    ratios = [cells[0] for cells in rows_of("Other libraries: how many times our time").values()]
    assert numbers_in_readme(r"take ([\d.]+) to (\d+) times as long") == [round(min(ratios), 1), round(max(ratios))]


def test_readme_has_the_measured_bytes_of_a_key():
    memory = rows_of("Bytes a key")
    others = [cells[0] for name, cells in memory.items() if re.match(PEERS, name)]
    assert numbers_in_readme(r"to (\d+) bytes for each key") == [round(memory["`TokenBucket`"][0])]
    assert numbers_in_readme(r"other libraries take (\d+) to (\d+)\.") == [round(min(others)), round(max(others))]
