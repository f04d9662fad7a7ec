"""The cost of one decision: ours, beside the floor and beside other libraries."""

import gc
from collections.abc import Callable

from ratelimit.bench import scenarios
from ratelimit.bench.measure import Effort, Progress, Race
from ratelimit.bench.peers import Peer, check, present
from ratelimit.bench.report import Cell, Section, Table, Target
from ratelimit.bench.scenarios import DENIED, FLOOR, HOT, IN_TURN, OURS, Scenario

TEXT = """
The measured loop is `for key in keys: call(key)`, for `limiter.allow`, for `dict.get` on a dict of the same keys, and
for an empty C method of one argument, which shows the cost of a call alone. Times are nanoseconds for each decision.

For `allow_many`, a batch is 10,000 integer keys, and `dict.get` is called with the same integers.

Each other library takes turns with `dict.get` and with our class of the same algorithm. Before it is measured, it
must admit requests up to its limit, refuse them beyond it and keep keys apart.
"""


def measure(effort: Effort, progress: Progress) -> Section:
    many = scenarios.at_random(effort.many)
    bounds = {HOT: 1.6, DENIED: 1.4, IN_TURN: 1.9, many: 0.95}
    batch_bounds = {IN_TURN: 0.45, many: 0.08}
    log_bounds = {HOT: 1.45, IN_TURN: 1.8}
    single, batches = {}, {}
    for scenario in bounds:
        progress(f"allow, {scenario.name}")
        single[scenario] = Race(scenarios.calls(scenario), effort)
    for scenario in batch_bounds:
        progress(f"allow_many, {scenario.name}")
        batches[scenario] = Race(scenarios.batches(scenario), effort)
    full, full_target = _full(effort, progress)
    targets: list[Target] = []
    for scenario, bound in bounds.items():
        targets.append(_aim("allow", single[scenario], scenario, bound))
    for scenario, bound in batch_bounds.items():
        targets.append(_aim("allow_many", batches[scenario], scenario, bound))
    for scenario, bound in log_bounds.items():
        ratio = single[scenario].ratio("SlidingLog.allow", "TokenBucket.allow")
        targets.append(Target(f"`allow` of `SlidingLog`, {scenario.name}", bound, ratio, "x `TokenBucket`"))
    targets.append(full_target)
    tables = [
        _table("`allow`, ratio to `dict.get`", single, lambda race, name: race.ratio(name, FLOOR)),
        _table("`allow`, nanoseconds", single, Race.ns),
        _table("`allow_many`, ratio to `dict.get`", batches, lambda race, name: race.ratio(name, FLOOR)),
        _table("`allow_many`, nanoseconds", batches, Race.ns),
        full,
    ]
    if present():
        duels = {scenario: _duels(scenario, effort, progress) for scenario in bounds}
        targets += [_faster(scenario, races) for scenario, races in duels.items()]
        tables += [
            _peer_table("Other libraries: how many times our time", duels, _times_ours),
            _peer_table("Other libraries, ratio to `dict.get`", duels, lambda race, peer: race.ratio(peer.name, FLOOR)),
            _peer_table("Other libraries, nanoseconds", duels, lambda race, peer: race.ns(peer.name)),
        ]
    return Section("The cost of a decision", TEXT.strip(), tables, targets)


def _aim(verb: str, race: Race, scenario: Scenario, bound: float) -> Target:
    """Return the target for the worst of the four algorithms with a state of one word."""
    ratios = {name: race.ratio(f"{name}.{verb}", FLOOR) for name in OURS if name != "SlidingLog"}
    worst = max(ratios, key=ratios.__getitem__)
    return Target(f"`{verb}`, {scenario.name}", bound, ratios[worst], "x `dict.get`", remark=worst)


def _table(title: str, races: dict[Scenario, Race], value: Callable[[Race, str], float]) -> Table:
    names = next(iter(races.values())).times
    rows: list[list[Cell]] = [
        [f"`{name}`" if "." in name else name, *(value(race, name) for race in races.values())] for name in names
    ]
    return Table(title, ["", *(scenario.name for scenario in races)], rows)


def _full(effort: Effort, progress: Progress) -> tuple[Table, Target]:
    """`hit` beside `allow`, on a hot key."""
    ratios: dict[tuple[str, Scenario], float] = {}
    for scenario in (HOT, DENIED):
        progress(f"hit, {scenario.name}")
        for name in OURS:
            race = Race(scenarios.answers(scenario, name), effort)
            ratios[name, scenario] = race.ratio(f"{name}.hit", f"{name}.allow")
    rows: list[list[Cell]] = [[f"`{name}.hit`", ratios[name, HOT], ratios[name, DENIED]] for name in OURS]
    worst, scenario = max(ratios, key=ratios.__getitem__)
    remark = f"{worst}, {'denied' if scenario.denied else 'allowed'}"
    return (
        Table("`hit` with its full Decision, ratio to `allow`", ["", HOT.name, DENIED.name], rows),
        Target("`hit` with its full Decision", 5, ratios[worst, scenario], "x `allow`", remark=remark),
    )


def _duels(scenario: Scenario, effort: Effort, progress: Progress) -> dict[Peer, Race]:
    """One race after another, so that the keys of one library are in memory at a time."""
    races = {}
    for peer in present():
        progress(f"{peer.name}, {scenario.name}")
        check(peer)
        races[peer] = Race(scenarios.duel(scenario, peer), effort)
        gc.collect()
    return races


def _times_ours(race: Race, peer: Peer) -> float:
    return race.ratio(peer.name, f"{peer.like}.allow")


def _faster(scenario: Scenario, races: dict[Peer, Race]) -> Target:
    least = min(races, key=lambda peer: _times_ours(races[peer], peer))
    measured = _times_ours(races[least], least)
    what = f"the fastest other library, {scenario.name}"
    return Target(what, 2, measured, "x our time", at_least=True, remark=least.name)


def _peer_table(title: str, duels: dict[Scenario, dict[Peer, Race]], value: Callable[[Race, Peer], float]) -> Table:
    rows: list[list[Cell]] = [
        [peer.title, *(value(races[peer], peer) for races in duels.values())] for peer in present()
    ]
    return Table(title, ["", *(scenario.name for scenario in duels)], rows)
