"""Write the pages of the benchmarks from docs/benchmarks.json: `python docs/benchmark_pages.py`.

`ratelimit bench --json docs/benchmarks.json` measures, and docs/benchmark_pictures.py draws. Each question has a
sentence with the answer, a picture, and its tables behind a fold. Targets have a page of their own.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ratelimit.bench.report import TARGET_COLUMNS, Report, figure, markdown_table

DOCS = Path(__file__).parent
NOTE = "<!-- Written by docs/benchmark_pages.py: do not edit. -->"
FLOORS = ("dict.get", "an empty C method", "a bare GET", "a loop in C, own words", "a fetch-and-add in C, one counter")


def is_peer(name: str) -> bool:
    """Return whether a row is that of another library, such as "limits 5.8.0, fixed window"."""
    return "," in name and "." in name.partition(",")[0]


class Numbers:
    """The tables of a report, by title."""

    def __init__(self, report: Report) -> None:
        self.tables = {table.title: table for section in report.sections for table in section.tables}

    def column(self, title: str, column: int = 1) -> dict[str, float]:
        """Return a column of numbers by the plain names of the rows."""
        return {row[0].replace("`", ""): row[column] for row in self.tables[title].rows if row[column] is not None}

    def cell(self, title: str, row: str, column: int = 1) -> str:
        return figure(self.column(title, column)[row])


def fast(numbers: Numbers) -> str:
    others = numbers.column("Other libraries, nanoseconds")
    quickest = min(others, key=others.get)
    return (
        f"`TokenBucket.allow` takes {numbers.cell('`allow`, nanoseconds', 'TokenBucket.allow')} nanoseconds, where "
        f"`dict.get` takes {numbers.cell('`allow`, nanoseconds', 'dict.get')}. The quickest other library, {quickest}, "
        f"takes {figure(others[quickest])}."
    )


def grows(numbers: Numbers) -> str:
    cells = [numbers.cell("`allow`, nanoseconds", "TokenBucket.allow", column) for column in (1, 3, 4)]
    return (
        f"From one key to 10,000 and to 1,000,000 at random, `TokenBucket.allow` goes from {cells[0]} to {cells[1]} "
        f"and to {cells[2]} nanoseconds, because keys are then outside of the processor's caches. "
        f"`dict.get` goes to {numbers.cell('`allow`, nanoseconds', 'dict.get', 4)}."
    )


def memory(numbers: Numbers) -> str:
    sizes = numbers.column("Bytes a key")
    others = [size for name, size in sizes.items() if is_peer(name)]
    return (
        f"A key takes {figure(sizes['TokenBucket'])} bytes; in the other libraries it takes {figure(min(others))} to "
        f"{figure(max(others))}. A sliding log also keeps the requests of a period."
    )


def scales(numbers: Numbers) -> str:
    many, free = "Two threads, `allow_many`", "Two threads without a GIL, `allow`"
    hot, counter = "one hot key, allowed", "a fetch-and-add in C, one counter"
    return (
        f"Two threads that spend from one hot key make {numbers.cell(many, hot)} times the decisions of one with "
        f"`allow_many`, and {numbers.cell(free, hot)} times with `allow` without a GIL. A bare counter in C makes "
        f"{numbers.cell(many, counter)} times, because its cache line moves between the cores each time."
    )


def network(numbers: Numbers) -> str:
    one, together = "One decision by a server", "Many decisions by a server"
    return (
        f"A decision by a Redis or Valkey server is one round trip: {numbers.cell(one, 'TokenBucket.allow', 2)} times "
        f"a bare `GET`. Of 128 coroutines that ask at once, each takes {numbers.cell(together, '128 at once')} "
        f"microseconds; a remembered refusal takes {numbers.cell(together, 'remembered')}."
    )


class Question(NamedTuple):
    title: str
    picture: str
    answer: Callable[[Numbers], str]
    sections: tuple[str, ...]  # whose tables have all the numbers


LARGE = ("Live keys and fresh keys", "Shared memory, files and floods")
QUESTIONS = [
    Question("How fast is a decision?", "bench-fast", fast, ("The cost of a decision",)),
    Question("How does it grow with the keys?", "bench-growth", grows, LARGE),
    Question("How much memory does a key take?", "bench-memory", memory, ("Memory",)),
    Question("How does it scale?", "bench-scale", scales, ("One limit on two cores",)),
    Question("How fast is it over a network?", "bench-network", network, ("Over a network",)),
]
PREFACE = """# Benchmarks

One command measured every number on this page, and `make bench-page` writes the page again:

```sh
{command}
```

Blue is this library, grey are other libraries, and green is the least that is possible: an operation without any limit.
Times are CPU time of the process, except over a network. Only contestants that took turns are compared, as ratios: on
another machine the times differ, the ratios less so. `ratelimit bench --quick` measures your machine roughly in a
minute or two; other libraries take part if they are installed. [](benchmark-targets.md) has each target with its
measurement, and [](gateway-benchmarks.md) the gateway."""
TARGETS = """# Targets

Met: {met} of {all}. Missed: {missed}. For a target of several algorithms or libraries, the worst of them counts and is
named in brackets. `SlidingLog`, which keeps every request, has targets of its own. [](benchmarks.md) has the method and
all numbers.

With very many live keys, the levels of a grown table bound the time: new keys fill the lower ones to the last slot, so
a search that does not find its key there visits their whole reach. The batch prefetches in one level only, and a new
key searches each level three times.
"""


def fold(report: Report, title: str) -> list[str]:
    """Return the method and the tables of a section, which a reader opens; nothing if it was not measured."""
    parts = []
    for section in report.sections:
        if section.title == title:
            summary = f"Method and all numbers: {title[0].lower()}{title[1:]}"
            parts += [f"<details>\n<summary>{summary}</summary>", section.text]
            for table in section.tables:
                parts += [f"**{table.title}**", markdown_table(table.columns, table.rows)]
            parts.append("</details>")
    return parts


def benchmarks_page(report: Report) -> str:
    numbers = Numbers(report)
    parts = [NOTE, PREFACE.format(command=report.command)]
    for question in QUESTIONS:
        answer = question.answer(numbers)
        picture = f"![{answer.replace('`', '')}](pictures/{question.picture}.svg)"
        parts += [f"## {question.title}", answer, picture]
        parts += [part for title in question.sections for part in fold(report, title)]
    parts += ["## The machine", markdown_table(["", ""], [[name, text] for name, text in report.machine.items()])]
    return "\n\n".join(parts) + "\n"


def targets_page(report: Report) -> str:
    targets = [target for section in report.sections for target in section.targets]
    missed = [target for target in targets if target.met is False]
    met = [target for target in targets if target.met]
    unknown = [target for target in targets if target.met is None]
    parts = [NOTE, TARGETS.format(met=len(met), all=len(targets), missed=len(missed)).strip()]
    for title, some in (("Missed", missed), ("Not measured", unknown), ("Met", met)):
        if some:
            parts += [f"## {title}", markdown_table(TARGET_COLUMNS[:3], [target.row[:3] for target in some])]
    return "\n\n".join(parts) + "\n"


def saved() -> Report:
    return Report.from_json((DOCS / "benchmarks.json").read_text(encoding="utf-8"))


def main():
    (DOCS / "benchmarks.md").write_text(benchmarks_page(saved()), encoding="utf-8")
    (DOCS / "benchmark-targets.md").write_text(targets_page(saved()), encoding="utf-8")


if __name__ == "__main__":
    main()
