"""The report as data, text and Markdown: sections with tables, and targets beside the measurements."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import ratelimit

Cell = str | float | None  # None: not measured


@dataclass(frozen=True)
class Target:
    """A target and its measurement. They are compared as they are printed."""

    what: str
    bound: float
    measured: float | None  # None: it could not be measured; the remark is the reason
    unit: str
    at_least: bool = False
    remark: str = ""  # which of several this is

    @property
    def met(self) -> bool | None:
        if self.measured is None:
            return None
        measured = float(figure(self.measured).replace(",", ""))
        return measured >= self.bound if self.at_least else measured <= self.bound

    @property
    def row(self) -> list[Cell]:
        aim = f"at {'least' if self.at_least else 'most'} {figure(self.bound)} {self.unit}"
        if self.measured is None:
            return [self.what, aim, self.remark, "not measured"]
        reached = f"{figure(self.measured)} {self.unit}" + (f" ({self.remark})" if self.remark else "")
        return [self.what, aim, reached, "met" if self.met else "**missed**"]


TARGET_COLUMNS = ["what", "target", "measured", ""]


@dataclass(frozen=True)
class Table:
    title: str
    columns: list[str]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Section:
    """One part of the report, measured by one module."""

    title: str
    text: str  # Markdown: the method
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    command: str
    machine: dict[str, str]
    sections: list[Section]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        def section(data: dict[str, Any]) -> Section:
            tables = [Table(**table) for table in data.pop("tables")]
            return Section(tables=tables, targets=[Target(**target) for target in data.pop("targets")], **data)

        data = json.loads(text)
        return cls(data["command"], data["machine"], [section(each) for each in data["sections"]])


def machine() -> dict[str, str]:
    """Return a description of this machine."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "load": f"{os.getloadavg()[0]:.2f} processes ran on average in the minute before",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        "numpy": np.__version__,
        "ratelimit": ratelimit.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []  # not Linux
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def figure(number: float) -> str:
    """Return a number with three significant digits."""
    if number == 0 or abs(number) >= 99.95:
        return f"{number:,.0f}"
    return f"{number:.{1 if abs(number) >= 9.995 else 2 if abs(number) >= 0.9995 else 3}f}"


def shown(cell: Cell) -> str:
    return "" if cell is None else cell if isinstance(cell, str) else figure(cell)


# --- for the terminal and for the documentation -----------------------------------------------------------------


def to_text(report: Report) -> str:
    parts = []
    for section in report.sections:
        parts.append(f"\n== {section.title} ==")
        for table in section.tables:
            parts += ["", _plain(table.title), "", *_aligned(table.columns, table.rows)]
    rows = [target.row for section in report.sections for target in section.targets]
    parts += ["", "== Targets ==", "", *_aligned(TARGET_COLUMNS, rows)]
    return "\n".join(parts)


def _aligned(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> list[str]:
    lines = [list(columns), *([_plain(shown(cell)) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _plain(markdown: str) -> str:
    return markdown.replace("**", "").replace("`", "")


PREFACE = """<!-- Written by `ratelimit bench`: do not edit. -->

# Benchmarks

One command measured every number on this page and wrote the page:

```sh
{command}
```

Times are CPU time of the process. Only contestants that took turns are compared, as ratios: on another machine the \
times differ, the ratios less so. `ratelimit bench --quick` measures your machine roughly in a minute or two; other \
libraries take part if they are installed."""
ON_TARGETS = (
    "For a target of several algorithms or libraries, the worst of them counts and is named in brackets. "
    "`SlidingLog`, which keeps every request, has targets of its own."
)


def to_markdown(report: Report, preface: str = PREFACE, on_targets: str = ON_TARGETS) -> str:
    """Return a page of the documentation; the preface contains `{command}`."""
    targets = [target for section in report.sections for target in section.targets]
    missed, unknown = (sum(target.met is each for target in targets) for each in (False, None))
    parts = [
        preface.format(command=report.command),
        "## Targets",
        f"Met: {len(targets) - missed - unknown} of {len(targets)}. Missed: {missed}. "
        + (f"Not measured: {unknown}. " if unknown else "")
        + on_targets,
        markdown_table(TARGET_COLUMNS, [target.row for target in targets]),
    ]
    for section in report.sections:
        parts += [f"## {section.title}", section.text]
        for table in section.tables:
            parts += [f"### {table.title}", markdown_table(table.columns, table.rows)]
    parts += ["## The machine", markdown_table(["", ""], [[name, text] for name, text in report.machine.items()])]
    return "\n\n".join(parts) + "\n"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    lines = [columns, ["---", *["---:" if _numbers(rows, i) else "---" for i in range(1, len(columns))]]]
    lines += [[shown(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _numbers(rows: Iterable[Sequence[Cell]], column: int) -> bool:
    return all(not isinstance(row[column], str) for row in rows)
