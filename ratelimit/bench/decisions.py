"""The cost of one decision: ours, beside the floor and beside other libraries."""

import gc
from collections.abc import Callable

from ratelimit.bench import scenarios
from ratelimit.bench.measure import Effort, Race
from ratelimit.bench.peers import PEERS, Peer, check, installed
from ratelimit.bench.report import Cell, Section, Table, Target
from ratelimit.bench.scenarios import DENIED, FLOOR, HOT, IN_TURN, OURS, Scenario

TEXT = """
What is measured is `for key in keys: call(key)`, with the loop in it, for `limiter.allow`, for `dict.get` on a dict of
the same keys, and for what else is named. A ratio is to `dict.get` where nothing else is said. An empty C method of one
argument shows what a call alone costs. Times are nanoseconds a decision.

In `allow_many` a batch is 10,000 integer keys, and its `dict.get` is one on the same integers.

Another library takes turns with `dict.get` and with our class of the same algorithm; "ours is faster" is how many times
its time is ours. Each was first seen to admit up to a limit, to refuse beyond it and to keep keys apart.
"""
FASTER = "the fastest other library"
Say = Callable[[str], None]


def measure(effort: Effort, say: Say) -> Section:
    many = scenarios.at_random(effort.many)
    bounds = {HOT: 2.0, DENIED: 2.0, IN_TURN: 2.2, many: 0.9}
    tables, targets = [], []
    for scenario, bound in bounds.items():
        say(scenario.name)
        race = Race(
            [scenarios.floor(scenario), scenarios.empty(scenario), *(scenarios.ours(scenario, name) for name in OURS)],
            effort,
        )
        tables.append(Table(f"{scenario.name}: `allow`", ["", "ns", "ratio"], _rows(race)))
        targets += _aims(f"`allow(key)`, {scenario.name}", bound, race, "allow")
    for scenario, bound in {IN_TURN: 0.30, many: 0.10}.items():
        say(f"allow_many, {scenario.name}")
        race = Race(
            [scenarios.integer_floor(scenario), *(scenarios.batches(scenario, name) for name in OURS)],
            effort,
        )
        tables.append(Table(f"{scenario.name}: `allow_many`", ["", "ns", "ratio"], _rows(race)))
        targets += _aims(f"`allow_many`, {scenario.name}, a decision", bound, race, "allow_many")
    table, target = _hit(effort, say)
    tables.append(table)
    targets.append(target)
    for scenario in bounds:
        table, faster = _against_peers(scenario, effort, say)
        tables.append(table)
        targets += faster
    return Section("The cost of a decision", TEXT.strip(), tables, targets)


def _rows(race: Race) -> list[list[Cell]]:
    return [[f"`{name}`" if "." in name else name, race.ns(name), race.ratio(name, FLOOR)] for name in race.times]


def _aims(what: str, bound: float, race: Race, verb: str) -> list[Target]:
    """For the four algorithms with a state of one word the worst counts; the log has a row of its own."""
    ratios = {name: race.ratio(f"{name}.{verb}", FLOOR) for name in OURS}
    log = ratios.pop("SlidingLog")
    worst = max(ratios, key=ratios.__getitem__)
    return [
        Target(what, bound, ratios[worst], "x `dict.get`", remark=worst),
        Target(f"{what}: `SlidingLog`", bound, log, "x `dict.get`"),
    ]


def _hit(effort: Effort, say: Say) -> tuple[Table, Target]:
    rows: list[list[Cell]] = []
    ratios = []
    for scenario in (HOT, DENIED):
        say(f"hit, {scenario.name}")
        for name in OURS:
            race = Race([scenarios.ours(scenario, name, verb) for verb in ("allow", "hit")], effort)
            ratio = race.ratio(f"{name}.hit", f"{name}.allow")
            rows.append([f"`{name}.hit`, {scenario.name}", race.ns(f"{name}.hit"), ratio])
            ratios.append((ratio, f"{name}, {scenario.name.rpartition(' ')[2]}"))
    worst, remark = max(ratios)
    return (
        Table("`hit` with its full Decision", ["", "ns", "ratio to `allow`"], rows),
        Target("`hit()` with its full Decision", 5, worst, "x `allow()`", remark=remark),
    )


def _against_peers(scenario: Scenario, effort: Effort, say: Say) -> tuple[Table, list[Target]]:
    """One after another, so that a million keys are in the memory of one library at a time."""
    versions = installed()
    rows: list[list[Cell]] = []
    factors = []
    for peer in PEERS:
        if peer.library not in versions:
            continue
        say(f"{peer.name}, {scenario.name}")
        check(peer)
        name = f"{peer.library} {versions[peer.library]}, {peer.algorithm}"
        try:
            race = _duel(scenario, peer, effort)
        except TimeoutError as error:
            rows.append([name, None, None, str(error)])
            continue
        factor = race.ratio(peer.name, f"{peer.like}.allow")
        rows.append([name, race.ns(peer.name), race.ratio(peer.name, FLOOR), factor])
        factors.append((factor, peer.name))
    table = Table(f"{scenario.name}: other libraries", ["", "ns", "ratio", "ours is faster"], rows)
    if not factors:
        return table, []
    least, remark = min(factors)
    return table, [Target(f"{FASTER}, {scenario.name}", 2, least, "x our time", at_least=True, remark=remark)]


def _duel(scenario: Scenario, peer: Peer, effort: Effort) -> Race:
    try:
        contestants = [
            scenarios.floor(scenario),
            scenarios.ours(scenario, peer.like),
            scenarios.theirs(scenario, peer),
        ]
        return Race(contestants, effort)
    finally:
        gc.collect()
