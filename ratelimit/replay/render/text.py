"""The report as text, for a terminal."""

import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise

from ..report import TOO_FEW, Above, Answer, Outcome, Point, Report, Source
from .by_group import GROUP_FORMS
from .configuration import FORMS

LONGEST = 60  # characters of a key


def table(report: Report, width: int | None = None) -> str:
    """Render the whole report, about 110 characters wide, or to fit `width`."""
    parts = ["\n".join(fit(line, width) for line in heading(report)), overview(report.outcomes, width)]
    parts += [details(outcome, width) for outcome in report.outcomes]
    return "\n\n".join(parts)


def heading(report: Report) -> list[str]:
    """Return the answer in a sentence, the lines about the log, and the notes that qualify the results."""
    lines = [
        verdict(report.outcomes[0], report),
        f"{several(report.requests, 'request')} by {keys(report)} in "
        f"{duration((report.last_ns - report.first_ns) / 1e9)}, "
        f"{moment(report.first_ns)} to {moment(report.last_ns)}",
    ]
    if report.source:
        lines.append(source_line(report.source))
    return lines + notes(report) + (broken_lines(report.source) if report.source else [])


def verdict(outcome: Outcome, report: Report) -> str:
    """Return in a sentence which clients a limit refuses."""
    if not outcome.refused:
        return f"{outcome.limit} refuses no client"
    said = f"{outcome.limit} refuses {refused_keys(outcome)} of {keys(report)}"
    return said if outcome.kinds is None else f"{said}; {looks(outcome)}"


def refused_keys(outcome: Outcome) -> str:
    """Return how many keys are refused, as far as it is known."""
    return f"{'more than ' if outcome.more_keys_refused else ''}{outcome.keys_refused:,}"


def looks(outcome: Outcome) -> str:
    """Return what the refused clients look like: programs, or not."""
    programs = sum((outcome.kinds or {}).values())
    which = listed([several(number, kind) for kind, number in (outcome.kinds or {}).items()])
    if not programs:
        return "it does not look like a program" if outcome.keys_refused == 1 else "none of them looks like a program"
    if programs == outcome.keys_refused:
        return f"it looks like a program: {which}" if programs == 1 else f"all of them look like programs: {which}"
    return f"{programs:,} of them {'looks like a program' if programs == 1 else 'look like programs'}: {which}"


def listed(texts: list[str]) -> str:
    """ "1 crawler, 2 scans and 1 script"."""
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else ""


def notes(report: Report) -> list[str]:
    """Return the lines about anything unusual."""
    lines = []
    if not report.complete:
        lines.append("interrupted: this is what was known by then")
    if report.more_keys or report.counted_keys < report.keys:
        lines.append(f"the first {report.counted_keys:,} keys are counted one by one, all others together")
    for outcome in report.outcomes:
        lines += [
            f"{outcome.limit}: the most in {largest.period:g} s is counted without {largest.left_out:,} requests"
            for largest in outcome.largest
            if largest.left_out
        ]
    return lines + (source_notes(report.source) if report.source else [])


def source_notes(source: Source) -> list[str]:
    """Return the lines about anything unusual in the logs."""
    lines = [f"{name}: {why}; only what came before is counted" for name, why in source.damaged]
    lines += [
        f"{several(missing, 'request')} without {field}; they count as one key, '-'"
        for field, missing in source.missing.items()
    ]
    if source.excluded:
        lines.append(f"{several(source.excluded, 'request')} left out by the conditions")
    if source.broken:
        lines.append(f"{source.broken:,} of {several(source.lines, 'line')} could not be read and are left out")
    skipped = [several(source.blank, "blank line")] if source.blank else []
    if source.nul_bytes:
        skipped.append(f"{several(source.nul_bytes, 'NUL byte')} (a hole, as copytruncate leaves it)")
    if skipped:
        lines.append(f"skipped {' and '.join(skipped)}")
    if source.out_of_order:
        verb = "was" if source.out_of_order == 1 else "were"
        lines.append(f"{several(source.out_of_order, 'line')} {verb} out of order, and sorted")
    return lines


def source_line(source: Source) -> str:
    """Return a line with the formats, and the fields that were used."""
    fields = [f"{field} from {' and '.join(names)}" for field, names in source.fields.items()]
    return f"read as {', '.join(source.formats)}: {', '.join(fields)}"


def broken_lines(source: Source) -> list[str]:
    """Return the first broken lines, with file and line number."""
    return [f"  {name}:{number}: {printable(line)}" for name, number, line in source.broken_lines]


def overview(outcomes: Iterable[Outcome], width: int | None = None) -> str:
    """Render a line for each limit."""
    head = ["limit", "admitted", "refused", "", "keys refused", "fairness", "most in one period", "median wait"]
    rows = [
        [
            outcome.limit,
            f"{outcome.admitted:,}",
            f"{outcome.refused:,}",
            percent(outcome.refused_share),
            refused_keys(outcome),
            f"{outcome.fairness:.4f}",
            ", ".join(f"{largest.admitted:,} of {largest.limit:,}" for largest in outcome.largest),
            duration(outcome.waits.median) if outcome.refused else "-",
        ]
        for outcome in outcomes
    ]
    return columns(head, rows, width)


def details(outcome: Outcome, width: int | None = None) -> str:
    """Render the rest of one limit's results."""
    lines = [outcome.limit]
    lines += [
        f"  most in any {duration(largest.period)}: {largest.admitted:,} admitted, "
        f"{largest.admitted / largest.limit:.2f} x the limit (it can be {largest.most:,})"
        f"{', a boundary burst' if largest.boundary_burst else ''}: {shown(largest.key)}, to {moment(largest.at_ns)}"
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
    lines = [fit(line, width) for line in lines]
    if outcome.top:
        rows = [
            [f"  {shown(key.key)}", f"{key.refused:,}", f"{key.requests:,}", percent(key.refused / key.requests)]
            + ([] if outcome.kinds is None else [key.kind or "usual"])
            for key in outcome.top
        ]
        head = ["  most refused", "refused", "requests", "", *([] if outcome.kinds is None else ["looks like"])]
        lines.append(columns(head, rows, width))
    return "\n".join(lines)


def columns(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Render a table: the first column is left-aligned, the others right-aligned.

    If it is wider than `width`, it becomes several tables, each with the first column, or else a line for each cell.
    A column without a name stays with the one before it.
    """
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    starts = [i for i in range(1, len(head)) if head[i]]
    pieces = [[*range(i, end)] for i, end in pairwise([*starts, len(head)])]
    if width is None:
        return aligned(head, rows, widths, range(len(head)))
    parts: list[list[int]] = []
    for piece in pieces:
        if parts and wide(widths, [*parts[-1], *piece]) <= width:
            parts[-1] += piece
        elif wide(widths, [0, *piece]) <= width:
            parts.append([0, *piece])
        else:
            return "\n".join([head[0], *(stacked(head, row) for row in rows)])
    return "\n\n".join(aligned(head, rows, widths, part) for part in parts)


def wide(widths: Sequence[int], part: Sequence[int]) -> int:
    return sum(widths[i] for i in part) + 2 * (len(part) - 1)


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], part: Sequence[int]) -> str:
    return "\n".join(
        "  ".join(row[i].rjust(widths[i]) if i else row[i].ljust(widths[i]) for i in part).rstrip()
        for row in [head, *rows]
    )


def stacked(head: Sequence[str], row: Sequence[str]) -> str:
    """Render one row as a line for each column."""
    indent = " " * (2 + len(head[0]) - len(head[0].lstrip()))
    lines = [row[0]]
    for name, text in zip(head[1:], row[1:], strict=True):
        if name:
            lines.append(f"{indent}{name} {text}")
        else:
            lines[-1] += f"  {text}"
    return "\n".join(lines)


def fit(line: str, width: int | None) -> str:
    """Wrap a line that is too wide."""
    if width is None:
        return line
    indent = " " * (2 + len(line) - len(line.lstrip()))
    return textwrap.fill(line, max(width, 20), subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)


def printable(text: str) -> str:
    """Escape control characters, so that a log cannot control the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shown(key: str) -> str:
    key = printable(key)
    return key if len(key) <= LONGEST else f"{key[: LONGEST - 3]}..."


def keys(report: Report) -> str:
    return keyed(report.keys, report.source.key if report.source else "key", report.more_keys)


def keyed(number: int, key: str, more: bool = False) -> str:
    """ "5 clients", or "5 keys (client/64)" where the expression is not a word."""
    text = several(number, key) if key.isalpha() else f"{several(number, 'key')} ({key})"
    return f"more than {text}" if more else text


def several(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """Format a share with at least two significant digits."""
    if not share:
        return "0 %"
    if share < 0.0001:
        return "<0.01 %"
    return f"{100 * share:.2f} %" if share < 0.1 else f"{100 * share:.1f} %"


def duration(seconds: float) -> str:
    """Format a duration with three digits, in a suitable unit."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns" if seconds else "0 s"


def moment(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def short(limit: str) -> str:
    """Return a limit without its quota: the algorithm, and its burst if it has one."""
    words = limit.split()
    return " ".join([words[0], *words[2:]])


def suggestions(answer: Answer, width: int | None = None) -> str:
    """Render the answer of `suggest` for a terminal, or to fit `width`."""
    head = [headline(answer), f"{several(answer.requests, 'request')} by {answer_keys(answer)}; {kinds(answer)}"]
    head += [source_line(answer.source), *suggestion_notes(answer), *broken_lines(answer.source)]
    parts = ["\n".join(fit(line, width) for line in head)]
    if answer.usual:
        parts.append(fit(peaks_line(answer), width))
    if answer.suggestions:
        rows = [
            [one.limit, f"{one.touched:,}", f"{one.refused:,}", percent(one.share), f"{one.most:,}"]
            for one in answer.suggestions
        ]
        names = ["smallest limit", "clients touched", "requests refused", "", f"never more in a {answer.per} than"]
        parts.append(columns(names, rows, width))
    parts += [above(answer, width)] if answer.above else []
    parts += [curves(answer, width)] if any(one.curve for one in answer.suggestions) else []
    parts += [groups(answer, width)] if answer.groups else []
    if answer.suggestions:
        parts.append(fit(f"as configuration: --as {', '.join(GROUP_FORMS if answer.groups else FORMS)}", width))
    return "\n\n".join(parts)


def headline(answer: Answer) -> str:
    """Return the answer in one sentence."""
    if not answer.suggestions:
        if answer.clients_at_most is not None and answer.usual < TOO_FEW:
            return f"too small a sample for an answer: {several(answer.usual, usual_name(answer))}"
        return "no limit will do"
    best = answer.suggestions[0]
    if answer.clients_at_most is None:
        return f"{best.limit} refuses {percent(best.share)} of the requests"
    return f"{best.limit} touches {best.touched:,} of {several(answer.usual, usual_name(answer))}"


def usual_name(answer: Answer) -> str:
    return "usual client" if answer.source.key.partition("/")[0] == "client" else "usual key"


def kinds(answer: Answer) -> str:
    """Return the classes of the other keys."""
    counted = [several(number, kind) for kind, number in answer.kinds.items()]
    if not counted:
        return "none of them looks like a program"
    return f"by their looks {', '.join(counted)}, the others are usual"


def peaks_line(answer: Answer) -> str:
    """Return the distribution of the usual clients' peaks."""
    peaks = answer.peaks
    return (
        f"most requests of a {usual_name(answer)} in any {answer.per}: {peaks.median:,} (median), "
        f"{peaks.p99:,} (99 %), {peaks.p999:,} (99.9 %), {peaks.largest:,} (largest)"
    )


def above(answer: Answer, width: int | None) -> str:
    """Render the clients that the first suggestion refuses."""
    rows = [
        [shown(one.key), f"{one.peak:,}", f"{one.requests:,}", f"{one.refused:,}", one.kind or "usual"]
        for one in answer.above
    ]
    lines = [
        columns(
            [f"above {answer.suggestions[0].limit}", f"in a {answer.per}", "requests", "refused", "kind"], rows, width
        )
    ]
    lines += [fit(f"  {shown(one.key)}: {'; '.join(map(shown, facts(one)))}", width) for one in answer.above]
    return "\n".join(lines)


def facts(one: Above) -> list[str]:
    """Return why a client is of its class, its user agent and its target, as far as they are known."""
    return [fact for fact in (one.reason, one.agent if one.agent not in one.reason else "", one.target) if fact]


def curves(answer: Answer, width: int | None) -> str:
    """Render the effect of limits with other numbers: clients touched, and the share of requests refused."""
    drawn = [one for one in answer.suggestions if one.curve]
    numbers = sorted({point.number for one in drawn for point in one.curve})
    by_number = [{point.number: point for point in one.curve} for one in drawn]
    rows = [
        [f"{number:,}/{answer.per}", *(point_text(points.get(number), answer.requests) for points in by_number)]
        for number in numbers
    ]
    return columns(["clients touched, requests refused by", *(short(one.limit) for one in drawn)], rows, width)


def point_text(point: Point | None, requests: int) -> str:
    return "-" if point is None else f"{point.touched:,}, {percent(point.refused / max(requests, 1))}"


def groups(answer: Answer, width: int | None) -> str:
    """Render the suggestions by group."""
    rows = [
        [
            shown(group.name) or "/",
            f"{group.requests:,}",
            group.suggestion.limit if group.suggestion else "too few clients",
            f"{group.suggestion.touched:,}" if group.suggestion else "-",
        ]
        for group in answer.groups
    ]
    return columns([f"by {answer.by}", "requests", "smallest limit", "clients touched"], rows, width)


def suggestion_notes(answer: Answer) -> list[str]:
    """Return the notes that qualify the suggestions."""
    lines = []
    if not answer.complete:
        lines.append("interrupted: this is what was known by then")
    if answer.clients_at_most is not None and answer.usual >= TOO_FEW and answer.clients_at_most * answer.usual < 1:
        lines.append(
            f"{percent(answer.clients_at_most)} of {several(answer.usual, usual_name(answer))} is less than one; "
            "one may be touched"
        )
    lines += source_notes(answer.source)
    if answer.clients_at_most is None or answer.usual >= TOO_FEW:
        lines += [f"{name}: no limit refuses so few" for name in answer.none]
    return lines


def answer_keys(answer: Answer) -> str:
    """How many keys the requests had."""
    return keyed(answer.keys, answer.source.key, answer.more_keys)
