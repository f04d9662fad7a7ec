"""The report as one page: no scripts, nothing from the network, light or dark as the reader has it."""

from html import escape

from ..report import Answer, Outcome, Report, Source
from .charts import curves, histogram, most_in_a_period, over_time
from .text import (
    answer_keys,
    duration,
    headline,
    keys,
    kinds,
    moment,
    notes,
    peaks_line,
    percent,
    printable,
    short,
    suggestion_notes,
)

STYLE = """
:root { color-scheme: light dark;
  --paper: #fff; --ink: #1c1f23; --soft: #5b636d; --line: #d9dee3; --panel: #f6f7f9;
  --admitted: #0072b2; --refused: #d55e00; --delayed: #009e73; --fourth: #a8487f; --bound: #8a939c; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171a; --ink: #e6e9ec; --soft: #a0a8b0; --line: #363c42; --panel: #1d2125;
  --admitted: #56b4e9; --refused: #f08c3a; --delayed: #3fc79a; --fourth: #dd8fbd; --bound: #7d868f; } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1040px; padding: 32px 20px 64px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 8px } h2 { font-size: 20px; margin: 48px 0 4px }
h3 { font-size: 16px; margin: 24px 0 4px } p { margin: 4px 0 12px; max-width: 46em } .soft { color: var(--soft) }
.notes { border-left: 4px solid var(--refused); background: var(--panel); padding: 8px 16px; margin: 16px 0 }
.notes p { margin: 4px 0 } .notes code { font-size: 13px; overflow-wrap: anywhere }
.scroll { overflow-x: auto } .scroll > svg { min-width: 820px } .half .scroll > svg { min-width: 340px }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
caption { text-align: left; font-weight: 600; padding: 0 0 4px }
th, td { text-align: right; padding: 6px 0 6px 16px; border-bottom: 1px solid var(--line); vertical-align: top }
th:first-child, td:first-child { text-align: left; padding-left: 0; font-weight: 600 }
td { white-space: nowrap } td:first-child, td.key { white-space: normal; min-width: 10em; overflow-wrap: anywhere }
td.key, th.key { text-align: left }
thead th { color: var(--soft); font-weight: 500; font-size: 14px }
.halves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 8px 40px }
.legend { font-size: 14px; color: var(--soft) } .legend span { margin-right: 20px; white-space: nowrap }
.legend i { display: inline-block; width: 12px; height: 12px; margin-right: 6px; vertical-align: -1px }
i.admitted { background: var(--admitted) } i.refused { background: var(--refused) }
i.bound { border: 1px dashed var(--bound) }
svg { display: block; width: 100%; height: auto; margin: 8px 0 }
svg .admitted { fill: var(--admitted) } svg .refused { fill: var(--refused) } svg .delayed { fill: var(--delayed) }
svg .bound { fill: none; stroke: var(--bound); stroke-dasharray: 4 3 } svg .grid { stroke: var(--line) }
svg .limit { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 5 3 }
svg text { fill: var(--soft); font-size: 13px; font-family: inherit }
svg .name, svg .value { fill: var(--ink); font-size: 14px; paint-order: stroke;
  stroke: var(--paper); stroke-width: 5px }
.meter { background: var(--panel); height: 6px; margin-top: 4px }
.meter i { display: block; height: 6px; background: var(--refused) }
.legend svg { display: inline-block; width: 34px; min-width: 0; margin: 0 6px 0 0; vertical-align: -1px }
svg .curve { fill: none; stroke-width: 2.5; stroke-linejoin: round }
svg .c1 { stroke: var(--admitted) } svg .c2 { stroke: var(--refused); stroke-dasharray: 9 4 }
svg .c3 { stroke: var(--delayed); stroke-dasharray: 3 3 } svg .c4 { stroke: var(--fourth); stroke-dasharray: 12 4 3 4 }
svg .c5 { stroke: var(--ink); stroke-width: 1.5 }
svg circle { fill: var(--paper); stroke-width: 2; stroke-dasharray: none !important }
@media (max-width: 520px) {
  body { padding: 20px 14px 40px } table { font-size: 14px } th, td { padding-left: 10px }
  td:first-child, td.key { min-width: 9em } .legend span { white-space: normal } }
@media print { body { max-width: none } h2 { break-after: avoid } svg, table { break-inside: avoid } }
"""
LEGEND = (
    '<p class="legend"><span><i class="admitted"></i>admitted</span><span><i class="refused"></i>refused; '
    "the marks below the axis show where</span></p>"
)
MOST_LEGEND = (
    '<p class="legend"><span><i class="admitted"></i>up to the limit</span>'
    '<span><i class="refused"></i>beyond it</span>'
    '<span><i class="bound"></i>what the algorithm never exceeds</span></p>'
)


def page(report: Report) -> str:
    """Render the whole report."""
    title = "Which limit? " + ", ".join(report.source.names if report.source else ["a replay"])
    return document(
        title,
        header(report),
        overview(report),
        largest(report),
        *(section(number, outcome, report) for number, outcome in enumerate(report.outcomes, 1)),
    )


def suggestions_page(answer: Answer) -> str:
    """Render the answer of `ratelimit suggest`."""
    title = headline(answer)
    return document(
        title,
        f"<h1>{escape(title)}</h1>"
        f'<p class="soft"><span id="requests">{answer.requests:,}</span> requests by '
        f"{escape(answer_keys(answer))} from {', '.join(map(escape, answer.source.names))}; "
        f"{escape(kinds(answer))}.</p>",
        f"<p>{escape(peaks_line(answer).capitalize())}.</p>" if answer.usual else "",
        noted(suggestion_notes(answer), answer.source),
        suggested(answer) if answer.suggestions else "",
        clients_above(answer) if answer.above else "",
        curve_chart(answer),
        group_table(answer) if answer.groups else "",
    )


def suggested(answer: Answer) -> str:
    """Render the suggestions, and the first one as configuration of other programs."""
    rows = "".join(
        f"<tr><td>{escape(one.limit)}</td><td>{one.touched:,}</td><td>{one.refused:,}</td><td>{percent(one.share)}</td>"
        f"<td>{one.most:,}</td></tr>"
        for one in answer.suggestions
    )
    return (
        '<div class="scroll"><table id="suggestions"><thead><tr><th scope="col">smallest limit</th>'
        '<th scope="col">clients touched</th><th scope="col">requests refused</th><th scope="col">share</th>'
        f'<th scope="col">never more in a {escape(answer.per)} than</th></tr></thead><tbody>{rows}'
        f"</tbody></table></div>"
    )


def clients_above(answer: Answer) -> str:
    """Render the clients that the first suggestion refuses, and their class."""
    rows = "".join(
        f'<tr><td class="key">{escape(printable(one.key))}</td><td class="key">{escape(one.kind or "usual")}</td>'
        f"<td>{one.peak:,}</td><td>{one.requests:,}</td><td>{one.refused:,}</td>"
        f'<td class="key">{escape(printable("; ".join(filter(None, [one.reason, one.agent, one.target]))))}</td></tr>'
        for one in answer.above
    )
    return (
        f"<h2>Above {escape(answer.suggestions[0].limit)}</h2>"
        '<div class="scroll"><table id="above"><thead><tr><th scope="col" class="key">key</th>'
        '<th scope="col" class="key">'
        f'looks like</th><th scope="col">in a {escape(answer.per)}</th>'
        f'<th scope="col">requests</th><th scope="col">refused'
        f'</th><th scope="col" class="key">because</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def curve_chart(answer: Answer) -> str:
    """Draw the clients touched, or the requests refused, against the limit."""
    drawn = [one for one in answer.suggestions if one.curve]
    if not drawn:
        return ""
    by_clients = answer.clients_at_most is not None
    what = "clients touched" if by_clients else "requests refused"
    total = max(answer.usual if by_clients else answer.requests, 1)
    lines = [
        [(point.number, (point.touched if by_clients else point.refused) / total) for point in one.curve]
        for one in drawn
    ]
    text = f"share of {what} against the limit per {answer.per}, by " + ", ".join(one.limit for one in drawn)
    legend = "".join(
        f'<span><svg viewBox="0 0 34 12" aria-hidden="true"><path class="curve c{kind}" d="M1 6H33"/>'
        f'<circle class="c{kind}" cx="17" cy="6" r="3.5"/></svg>{escape(short(one.limit))}</span>'
        for kind, one in enumerate(drawn, 1)
    )
    target = answer.clients_at_most if by_clients else answer.refuse_at_most
    return (
        f'<h2>{what.capitalize()}, against the limit</h2><p class="legend">{legend}</p>'
        f'<div class="scroll">{curves(lines, target or 0.0, answer.per, text)}</div>'
        '<p class="soft">Both axes are logarithmic; the bottom line is zero. Where one line hides another, '
        "both have the same values.</p>"
    )


def group_table(answer: Answer) -> str:
    """Render the suggestions by group."""
    rows = "".join(
        f'<tr><td class="key">{escape(printable(group.name))}</td><td>{group.requests:,}</td>'
        f'<td class="key">{escape(group.suggestion.limit if group.suggestion else "too few clients")}</td></tr>'
        for group in answer.groups
    )
    return (
        f'<h2>By {escape(answer.by or "")}</h2><div class="scroll"><table id="groups"><thead><tr>'
        f'<th scope="col" class="key">'
        f'group</th><th scope="col">requests</th><th scope="col" class="key">smallest limit</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def document(title: str, *parts: str) -> str:
    """Return a page with these parts."""
    return "\n".join([
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>",
        *parts,
        "</main></body></html>",
    ])  # fmt: skip


def header(report: Report) -> str:
    source = report.source
    read = f" from {', '.join(map(escape, source.names))}" if source else ""
    span = (report.last_ns - report.first_ns) / 1e9
    when = f", {moment(report.first_ns)} to {moment(report.last_ns)} ({duration(span)})" if report.requests else ""
    return (
        "<h1>What these limits would have done</h1>"
        f'<p class="soft"><span id="requests">{report.requests:,}</span> requests by {escape(keys(report))}'
        f"{read}{when}.</p>" + noted(notes(report), source)
    )


def noted(lines: list[str], source: Source | None) -> str:
    """Render the notes about anything unusual, and the first broken lines."""
    said = [f"<p>{escape(line[:1].upper() + line[1:])}.</p>" for line in lines]
    said += [
        f"<p>{escape(name)}, line {number}: <code>{escape(printable(line))}</code></p>"
        for name, number, line in (source.broken_lines if source else [])
    ]
    return f'<div class="notes">{"".join(said)}</div>' if said else ""


def overview(report: Report) -> str:
    """Render a row for each limit."""
    rows = [
        f"<tr><td>{escape(outcome.limit)}</td><td>{outcome.admitted:,}</td><td>{outcome.refused:,}</td>"
        f"<td>{percent(outcome.refused_share)}{meter(outcome.refused_share)}</td>"
        f"<td>{outcome.keys_refused:,}</td><td>{outcome.fairness:.4f}</td>"
        f"<td>{duration(outcome.waits.median) if outcome.refused else '-'}</td></tr>"
        for outcome in report.outcomes
    ]
    return (
        '<div class="scroll"><table id="overview"><thead><tr><th scope="col">limit</th><th scope="col">admitted</th>'
        '<th scope="col">refused</th><th scope="col">share</th><th scope="col">keys refused</th>'
        '<th scope="col">fairness</th><th scope="col">median wait</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="soft">Fairness is Jain\'s index of what share of its requests each key was admitted: 1 when all got '
        "the same. The wait is until a refused request would have been admitted.</p>"
    )


def largest(report: Report) -> str:
    """How much each limit let through in one period."""
    rows = []
    for outcome in report.outcomes:
        for one in outcome.largest:
            several = f", per {duration(one.period)}" if len(outcome.largest) > 1 else ""
            rows.append((f"{outcome.limit}{several}", one))
    where = "".join(
        f"<tr><td>{escape(name)}</td><td>{one.limit:,}</td><td>{one.admitted:,}</td><td>{one.most:,}</td>"
        f'<td class="key">{escape(printable(one.key))}</td><td>{moment(one.at_ns) if one.admitted else "-"}</td></tr>'
        for name, one in rows
    )
    text = "The most that was admitted in one period, as multiples of the limit: " + ", ".join(
        f"{name} {one.admitted / one.limit:.2f}" for name, one in rows
    )
    return (
        "<h2>The most in any one period</h2><p>The largest number that one key was admitted in an interval as long as "
        "the limit's period, wherever it begins. A fixed window can double its limit across a boundary.</p>"
        f'{MOST_LEGEND}<div class="scroll">{most_in_a_period(rows, text)}</div>'
        '<div class="scroll"><table id="largest"><thead><tr><th scope="col">limit</th><th scope="col">its number</th>'
        '<th scope="col">most</th><th scope="col">never above</th><th scope="col" class="key">key</th>'
        f'<th scope="col">the period ended</th></tr></thead><tbody>{where}</tbody></table></div>'
    )


def section(number: int, outcome: Outcome, report: Report) -> str:
    """One limit: over time, by key, and how long one would have waited."""
    share = percent(outcome.refused_share)
    seen = f"{outcome.limit}: {outcome.admitted:,} admitted and {outcome.refused:,} refused, over time"
    chart = over_time(report.start_ns, report.bin_ns, report.requests_over_time, outcome.refused_over_time, seen)
    parts = [f'<section id="limit-{number}"><h2>{escape(outcome.limit)}</h2><p>{fate(outcome, share)}</p>']
    parts.append(
        f'{LEGEND}<div class="scroll">{chart}</div>'
        f'<p class="soft">requests in each {duration(report.bin_ns / 1e9)}, UTC</p>'
    )
    halves = []
    if outcome.top:
        halves.append(most_refused(outcome))
    if outcome.refused:
        text = f"how long the refused would have had to wait: median {duration(outcome.waits.median)}"
        never = f", {outcome.waits.never:,} for ever" if outcome.waits.never else ""
        halves.append(times("Wait of the refused", histogram(outcome.waits.steps, "refused", text),
            f"median {duration(outcome.waits.median)}, 90 % up to {duration(outcome.waits.p90)}, "
            f"longest {duration(outcome.waits.largest)}{never}"))  # fmt: skip
    if (delays := outcome.delays) and delays.count:
        text = f"how long the admitted wait for their turn: median {duration(delays.median)}"
        halves.append(times("Delay of the admitted", histogram(delays.steps, "delayed", text),
            f"median {duration(delays.median)}, 90 % up to {duration(delays.p90)}, 99 % up to {duration(delays.p99)}, "
            f"longest {duration(delays.largest)}"))  # fmt: skip
    return "".join(parts) + f'<div class="halves">{"".join(halves)}</div></section>'


def fate(outcome: Outcome, share: str) -> str:
    """In a sentence."""
    if not outcome.refused:
        return "No requests were refused."
    parts = ("lost no request", "lost up to 1 %", "lost up to 10 %", "lost up to half", "lost more than half")
    keys = [f"{keys:,} {part}" for part, (_, keys) in zip(parts, outcome.keys_by_share, strict=True) if keys]
    return (
        f"Refused {outcome.refused:,} of {outcome.requests:,} requests ({share}). Of the keys, "
        f"{', '.join(keys)}."
        + "".join(
            f" Across a boundary of two windows it admitted up to {one.admitted:,} within one period, "
            f"{one.admitted / one.limit:.2f} times the limit."
            for one in outcome.largest
            if one.boundary_burst
        )
    )


def most_refused(outcome: Outcome) -> str:
    rows = "".join(
        f'<tr><td class="key">{escape(printable(key.key))}</td><td>{key.refused:,}</td><td>{key.requests:,}</td>'
        f"<td>{percent(key.refused / key.requests)}{meter(key.refused / key.requests)}</td></tr>"
        for key in outcome.top
    )
    return (
        '<div class="half"><h3>Refused most</h3><div class="scroll"><table class="top"><thead><tr>'
        '<th scope="col" class="key">key</th><th scope="col">refused</th>'
        '<th scope="col">requests</th><th scope="col">share</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def times(title: str, chart: str, text: str) -> str:
    return f'<div class="half"><h3>{title}</h3><p class="soft">{text}</p><div class="scroll">{chart}</div></div>'


def meter(share: float) -> str:
    return f'<div class="meter"><i style="width:{100 * share:.1f}%"></i></div>'
