"""The decision about all descriptors of a request to Envoy's rate limit service, as one."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import ceil
from typing import NamedTuple

from .._core import Limiter
from .._engine.constants import NS_PER_SECOND
from .._limiter.decision import Decision
from ..limiters.composite import MAX_LIMITS, All
from .descriptors import Entries, Match, Rule, Rules
from .refused import BadRequest


class Question(NamedTuple):
    """A descriptor of a request.

    Attributes:
        entries: the keys and values.
        cost: what it spends; 0 only looks.
        override: the number and the unit of a limit of its own.
    """

    entries: Entries
    cost: int = 1
    override: tuple[int, str] | None = None


class Status(NamedTuple):
    """The answer about one descriptor.

    Attributes:
        rule: what applies to it, or None.
        over: whether it is a reason to refuse the request.
        remaining: how many requests fit into its window now; None if it has no limit.
        reset_ns: the time until its window ends.
    """

    rule: Rule | None = None
    over: bool = False
    remaining: int | None = None
    reset_ns: int = 0


NOTHING = Status()


class Part(NamedTuple):
    """A descriptor whose limit decides."""

    position: int
    match: Match
    cost: int


class Outcome(NamedTuple):
    """The answer to a request.

    Attributes:
        refused: whether a descriptor is over its limit.
        statuses: of all descriptors, in order.
    """

    refused: bool
    statuses: list[Status]


def decide(domains: Mapping[str, Rules], domain: str, questions: Sequence[Question]) -> Outcome:
    """Spend from the limits of all descriptors, or from none.

    Raises:
        BadRequest: the request is not possible.
        TableFull: a limiter cannot keep count.
    """
    if not domain:
        raise BadRequest(400, "domain: expected text, got ''")
    if not questions:
        raise BadRequest(400, "descriptors: expected one or more, got none")
    if not all(question.entries for question in questions):
        raise BadRequest(400, "descriptors: expected entries in each")
    statuses = [NOTHING] * len(questions)
    rules = domains.get(domain)
    if rules is None:
        return Outcome(False, statuses)
    parts = _parts(rules, questions)
    for position, match, _ in parts:
        if match.rule.unlimited:
            statuses[position] = Status(match.rule)
    limits = [part for part in parts if not part.match.rule.unlimited]
    strict = [part for part in limits if not part.match.rule.shadow]
    refused = not _spend(strict, statuses)
    for part in limits:
        if part.match.rule.shadow and refused:
            statuses[part.position] = _status(part, True)
        elif part.match.rule.shadow:
            _spend([part], statuses)
    for position, match, _ in parts:
        status = statuses[position]
        if status.over or not refused:
            result = "allowed" if not status.over else "shadow" if match.rule.shadow else "refused"
            rules.windows.counter(match.rule, match.value).add(result)
    return Outcome(refused, [one._replace(over=False) if one.rule and one.rule.shadow else one for one in statuses])


def _parts(rules: Rules, questions: Sequence[Question]) -> list[Part]:
    """Return the descriptors that have a rule, without those whose rule another one replaces."""
    parts = []
    for position, question in enumerate(questions):
        match = rules.match(question.entries, question.override)
        if match is not None:
            parts.append(Part(position, match, question.cost))
    replaced = {name for part in parts for name in part.match.rule.replaces}
    parts = [part for part in parts if part.match.rule.name not in replaced or not part.match.rule.name]
    if sum(part.match.rule.limiter is not None for part in parts) > MAX_LIMITS:
        raise BadRequest(400, f"descriptors: expected at most {MAX_LIMITS} with a limit")
    return parts


def _spend(parts: Sequence[Part], statuses: list[Status]) -> bool:
    """Spend from the limits of all parts, or of none; note the statuses, and return whether it was spent."""
    spending = [part for part in parts if part.cost and part.match.rule.limiter is not None]
    possible = all(part.match.rule.limiter is not None for part in parts)
    looks = [part for part in parts if not part.cost]
    possible = possible and all(_peek(part).allowed for part in looks)
    spent = possible and _hit(spending)
    for part in parts:
        statuses[part.position] = _status(part, spent)
    if not spent and not any(statuses[part.position].over for part in parts):  # it fits again by now
        first = parts[0]
        statuses[first.position] = statuses[first.position]._replace(over=True)
    return spent


def _hit(parts: Sequence[Part]) -> bool:
    if not parts:
        return True
    limiters = tuple(part.match.rule.limiter for part in parts if part.match.rule.limiter is not None)
    if len(parts) == 1:
        return limiters[0].hit(parts[0].match.key, parts[0].cost, quota=parts[0].match.rule.quota).allowed
    bound = _together(limiters).bind(
        [part.match.key for part in parts], quotas=[part.match.rule.quota for part in parts]
    )
    return bound.hit(costs=[part.cost for part in parts]).allowed


@lru_cache(1_000)
def _together(limiters: tuple[Limiter, ...]) -> All:
    return All(*limiters)


def _peek(part: Part) -> Decision:
    rule = part.match.rule
    assert rule.limiter is not None
    return rule.limiter.peek(part.match.key, part.cost or 1, quota=rule.quota)


def _status(part: Part, spent: bool) -> Status:
    rule = part.match.rule
    if rule.limiter is None:  # 0 requests
        return Status(rule, True, 0, 0)
    decision = _peek(part)
    return Status(rule, not spent and not decision.allowed, decision.remaining, decision.reset_after_ns)


def fields(outcome: Outcome, style: str) -> list[tuple[str, str]]:
    """Return the header fields about the limits: of all as policies, and of the one that is nearest to its end."""
    limited = [status for status in outcome.statuses if status.remaining is not None and status.rule is not None]
    if not limited or style == "none":
        return []
    least = min(limited, key=lambda status: (not status.over, status.remaining, -status.reset_ns))
    assert least.rule is not None
    seconds = ceil(least.reset_ns / NS_PER_SECOND)
    if style == "legacy":
        found = [
            ("x-ratelimit-limit", str(least.rule.requests)),
            ("x-ratelimit-remaining", str(least.remaining)),
            ("x-ratelimit-reset", str(seconds)),
        ]
    else:
        policies = dict.fromkeys(_policy(status.rule) for status in limited if status.rule is not None)
        until = f";t={seconds}" if seconds else ""
        found = [
            ("ratelimit-policy", ", ".join(policies)),
            ("ratelimit", f"{_policy(least.rule).partition(';')[0]};r={least.remaining}{until}"),
        ]
    if outcome.refused and seconds:
        found.append(("retry-after", str(seconds)))
    return found


def _policy(rule: Rule) -> str:
    if rule.quota is None:
        return '"0";q=0'
    return f'"{rule.quota}";q={rule.requests};w={int(rule.quota.period)}'
