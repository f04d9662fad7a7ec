"""The report as one page: no scripts, nothing from the network, light or dark as the reader has it.

The pages are Jinja2 templates, in `templates`; every value in them is escaped.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..measures import DurationSummary
from ..report import Above, Answer, Largest, Outcome, Report
from . import charts
from .by_group import GROUP_FORMS, groups_configuration
from .configuration import FORMS, configuration
from .text import (
    answer_keys,
    duration,
    facts,
    headline,
    keys,
    kinds,
    listed,
    moment,
    notes,
    peaks_line,
    percent,
    printable,
    refused_keys,
    short,
    suggestion_notes,
    verdict,
)


def page(report: Report) -> str:
    """Render the whole report."""
    return (
        _templates()
        .get_template("replay.html")
        .render(
            title=verdict(report.outcomes[0], report),
            report=report,
            span=(report.last_ns - report.first_ns) / 1e9,
            notes=notes(report),
            largest=_largest(report),
        )
    )


def suggestions_page(answer: Answer) -> str:
    """Render the answer of `ratelimit suggest`."""
    return (
        _templates()
        .get_template("suggest.html")
        .render(
            title=headline(answer),
            answer=answer,
            notes=suggestion_notes(answer),
            peaks=peaks_line(answer) if answer.usual else "",
            curves=_curves(answer),
            configured=_configured(answer),
        )
    )


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("ratelimit.replay.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "answer_keys": answer_keys, "bars": _bars, "duration": duration, "facts": _facts, "losses": _losses,
        "keys": keys, "kinds": kinds, "moment": moment, "most": _most, "percent": percent,
        "printable": printable, "refused_keys": refused_keys, "timeline": _timeline,
        "verdict": verdict,
    }  # fmt: skip
    return templates


def _largest(report: Report) -> list[tuple[str, Largest]]:
    return [
        (f"{outcome.limit}, per {duration(one.period)}" if len(outcome.largest) > 1 else outcome.limit, one)
        for outcome in report.outcomes
        for one in outcome.largest
    ]


def _losses(outcome: Outcome) -> str:
    """Return how much the keys lost, in a sentence."""
    if not outcome.refused:
        return f"It admits all {outcome.requests:,} requests."
    parts = ("lost no request", "lost up to 1 %", "lost up to 10 %", "lost up to half", "lost more than half")
    lost = [f"{keys:,} {part}" for part, (_, keys) in zip(parts, outcome.keys_by_share, strict=True) if keys]
    bursts = [
        f" Across a boundary of two windows it admitted up to {one.admitted:,} within one period, "
        f"{one.admitted / one.limit:.2f} times the limit."
        for one in outcome.largest
        if one.boundary_burst
    ]
    share = percent(outcome.refused_share)
    return (
        f"Refused {outcome.refused:,} of {outcome.requests:,} requests ({share}). Of the keys, {', '.join(lost)}."
        + "".join(bursts)
    )


def _timeline(outcome: Outcome, report: Report) -> Markup:
    text = f"{outcome.limit}: {outcome.admitted:,} admitted and {outcome.refused:,} refused, over time"
    return charts.over_time(report.start_ns, report.bin_ns, report.requests_over_time, outcome.refused_over_time, text)


def _bars(times: DurationSummary, kind: str, text: str) -> Markup:
    return charts.histogram(times.steps, kind, f"{text}: median {duration(times.median)}")


def _most(rows: list[tuple[str, Largest]]) -> Markup:
    text = "The most that was admitted in one period, as multiples of the limit: " + ", ".join(
        f"{name} {one.admitted / one.limit:.2f}" for name, one in rows
    )
    return charts.most_in_a_period(rows, text)


@dataclass(frozen=True)
class Curves:
    """The chart of other limits, and the names of its lines; equal lines have one name together."""

    what: str
    svg: Markup
    legend: list[tuple[int, str]]


def _curves(answer: Answer) -> Curves | None:
    """Draw the clients touched, or the requests refused, against the limit."""
    by_clients = answer.clients_at_most is not None
    total = max(answer.usual if by_clients else answer.requests, 1)
    lines: dict[Any, list[str]] = {}
    for one in answer.suggestions:
        if one.curve:
            line = tuple((at.number, (at.touched if by_clients else at.refused) / total) for at in one.curve)
            lines.setdefault(line, []).append(short(one.limit))
    if not lines:
        return None
    what = "clients touched" if by_clients else "requests refused"
    names = [listed(names) + (" (the same)" if len(names) > 1 else "") for names in lines.values()]
    text = f"share of {what} against the limit per {answer.per}, by {', '.join(names)}"
    target = answer.clients_at_most if by_clients else answer.refuse_at_most
    svg = charts.curves([*lines], target or 0.0, answer.per, text)
    return Curves(what, svg, list(enumerate(names, 1)))


def _facts(one: Above) -> str:
    return "; ".join(printable(fact) for fact in facts(one))


def _configured(answer: Answer) -> list[tuple[str, str]]:
    """Return the answer in each form of configuration."""
    if any(group.suggestion for group in answer.groups):
        return [(form, groups_configuration(answer, form)) for form in GROUP_FORMS]
    return [(form, configuration(answer.suggestions[0], form)) for form in FORMS if answer.suggestions]
