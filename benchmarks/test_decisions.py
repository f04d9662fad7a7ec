"""The scenarios of `ratelimit bench` under pytest-benchmark. A measured round is a chunk of 1,000 keys or more."""

from itertools import cycle

import pytest

from ratelimit.bench import scenarios
from ratelimit.bench.peers import check, present
from ratelimit.bench.scenarios import DENIED, HOT, IN_TURN, OURS

# `ratelimit bench` has a million keys at random; slow peers need long to take so many.
FEWER, MANY = scenarios.at_random(100_000), scenarios.at_random(1_000_000)
GROUPS = {
    **{
        f"allow, {scenario.name}": [
            *scenarios.calls(scenario),
            *(scenarios.theirs(scenario, peer) for peer in present()),
        ]
        for scenario in (HOT, DENIED, IN_TURN, FEWER)
    },
    **{f"allow_many, {scenario.name}": scenarios.batches(scenario) for scenario in (IN_TURN, MANY)},
    **{
        f"hit, {scenario.name}": [one for name in OURS for one in scenarios.answers(scenario, name)]
        for scenario in (HOT, DENIED)
    },
}
CASES = [
    pytest.param(contestant, id=f"{group}, {contestant.name}", marks=pytest.mark.benchmark(group=group))
    for group, contestants in GROUPS.items()
    for contestant in contestants
]


@pytest.mark.parametrize("contestant", CASES)
def test_decisions(contestant, benchmark):
    run, chunks = contestant.prepare()
    following = cycle(chunks)  # many keys are not always the same few
    benchmark.extra_info["keys a round"] = len(chunks[0])
    benchmark.pedantic(run, setup=lambda: ((next(following),), {}), rounds=100, warmup_rounds=2)


@pytest.mark.parametrize("peer", present(), ids=lambda peer: peer.name)
def test_peer_limits_each_key(peer):
    check(peer)
