"""The report as text, for a terminal."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from .report import Outcome, Report


def table(report: Report) -> str:
    """The whole report; lines end where they must, and the widest is about 110 characters wide."""
    parts = ["\n".join(heading(report)), overview(report.outcomes)]
    parts += [details(outcome, report) for outcome in report.outcomes]
    return "\n\n".join(parts)


def heading(report: Report) -> list[str]:
    """What was read, and what to know before believing the rest."""
    if not report.requests:
        lines = ["no requests"]
    else:
        lines = [
            f"{report.requests:,} request{'' if report.requests == 1 else 's'} by {keys(report)} in "
            f"{duration((report.last_ns - report.first_ns) / 1e9)}, "
            f"{moment(report.first_ns)} to {moment(report.last_ns)}"
        ]
    lines += notes(report)
    if report.source:
        lines += [f"  {name}:{number}: {line}" for name, number, line in report.source.broken_lines]
    return lines


def notes(report: Report) -> list[str]:
    """What was out of the ordinary."""
    lines = []
    if not report.complete:
        lines.append("interrupted: this is what was known by then")
    if report.counted_keys < report.keys:
        lines.append(f"the first {report.counted_keys:,} keys are counted each for itself, all others together")
    for outcome in report.outcomes:
        if outcome.full:
            lines.append(
                f"{outcome.limit}: {outcome.full:,} requests were refused only because its table was full; "
                "their number depends on --max-keys, and should be none"
            )
        lines += [
            f"{outcome.limit}: the most in {largest.period:g} s is counted without {largest.left_out:,} requests"
            for largest in outcome.largest
            if largest.left_out
        ]
    if source := report.source:
        lines += [f"{name}: {why}; only what came before is counted" for name, why in source.damaged]
        if source.broken:
            lines.append(f"{source.broken:,} of {source.lines:,} lines could not be read and are left out")
        if source.out_of_order:
            text = f"{source.out_of_order:,} lines were out of order and are sorted within {source.window:g} s"
            if source.late:
                text += f"; {source.late:,} came later than that and count as young as the line before them"
            lines.append(text)
    return lines


def overview(outcomes: Iterable[Outcome]) -> str:
    """A line for each limit."""
    head = ["limit", "admitted", "refused", "", "keys refused", "fairness", "most in one period", "median wait"]
    rows = [
        [
            outcome.limit,
            f"{outcome.admitted:,}",
            f"{outcome.refused:,}",
            percent(outcome.refused_share),
            f"{outcome.keys_refused:,}",
            f"{outcome.fairness:.4f}",
            ", ".join(f"{largest.admitted:,} of {largest.limit:,}" for largest in outcome.largest),
            duration(outcome.waits.median) if outcome.refused else "-",
        ]
        for outcome in outcomes
    ]
    return columns(head, rows)


def details(outcome: Outcome, report: Report) -> str:
    """What else is known of one limit."""
    lines = [outcome.limit]
    lines += [
        f"  most in any {duration(largest.period)}: {largest.admitted:,} admitted, "
        f"{largest.admitted / largest.limit:.2f} x the limit (it can be {largest.most:,})"
        f"{', a boundary burst' if largest.boundary_burst else ''}: {largest.key}, to {moment(largest.at_ns)}"
        for largest in outcome.largest
        if largest.admitted
    ]
    if outcome.refused:
        waits = outcome.waits
        lines.append(
            f"  the refused would have had to wait {duration(waits.median)} (median), {duration(waits.p90)} (90 %), "
            f"{duration(waits.largest)} (longest)"
        )
    if (delays := outcome.delays) and delays.count:
        lines.append(
            f"  the admitted wait for their turn {duration(delays.median)} (median), {duration(delays.p90)} (90 %), "
            f"{duration(delays.p99)} (99 %), {duration(delays.largest)} (longest)"
        )
    if outcome.top:
        rows = [
            [f"  {key.key}", f"{key.refused:,}", f"{key.requests:,}", percent(key.refused / key.requests)]
            for key in outcome.top
        ]
        lines.append(columns(["  most refused", "refused", "requests", ""], rows))
    return "\n".join(lines)


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    )


def keys(report: Report) -> str:
    what = report.source.key if report.source else "key"
    return (
        f"{report.keys:,} {what}{'' if report.keys == 1 else 's'}"
        if what.isalpha()
        else f"{report.keys:,} key{'' if report.keys == 1 else 's'} ({what})"
    )


def percent(share: float) -> str:
    """At least two digits that say something."""
    if not share:
        return "0 %"
    if share < 0.0001:
        return "<0.01 %"
    return f"{100 * share:.2f} %" if share < 0.1 else f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """Three digits, in the unit that suits them."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns" if seconds else "0 s"


def moment(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def short(limit: str) -> str:
    """A limit without its quota: the algorithm, and its burst if it has one."""
    words = limit.split()
    return " ".join([words[0], *words[2:]])
