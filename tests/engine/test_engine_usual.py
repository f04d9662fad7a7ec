"""The usual cases of the scripts answer and write the same as the functions for all cases."""

import hypothesis.strategies as st
import pytest
from cases import ALGORITHMS
from hypothesis import given, settings
from test_engine_seeded import install, scripts
from tools import NIGHTLY

from ratelimit import Quota, Table

START = 2_000_000_000_000_000  # microseconds; in the future, so that no key expires meanwhile
gaps = st.sampled_from([0, 0, 1, 250_000, 999_999, 1_000_000, 10_000_000])
jumps = st.sampled_from([0, 0, 0, 0, 1, 300_000, 60_000_000])  # of the clock, back
keys = st.lists(st.sampled_from("abc"), min_size=1, max_size=5)
verbs = st.sampled_from(["allow", "allow", "hit", "batch", "batch", "block", "change", "reset"])
steps = st.lists(st.tuples(gaps, jumps, verbs, keys, st.integers(1, 3)), min_size=3, max_size=30)


class Host:
    """A limiter whose engine decides by the given script, with the clock that the test sets."""

    def __init__(self, server, monkeypatch, algorithm, script):
        self._server = server
        self._patch = monkeypatch
        self._script = script
        self._algorithm = algorithm

    def run(self, steps):
        """Return what each step answered and left."""
        self._server.client.flushall()
        install(self._patch, self._script)
        client, now, seen = self._server.client, START, []
        client.hset("clock", mapping={"s": now // 1_000_000, "us": now % 1_000_000})
        table = Table.valkey(self._server.url, name="u", timeout=10, remember=0)
        limiter = self._algorithm.make(Quota(4, 1), table=table)
        for gap, jump, verb, some, cost in steps:
            now += gap - jump
            client.hset("clock", mapping={"s": now // 1_000_000, "us": now % 1_000_000})
            seen.append(self._carry_out(limiter, verb, some, cost))
            for key in sorted(set(some)):
                name = f"rl:u:{{s{key}}}"
                value = client.lrange(name, 0, -1) if client.type(name) == b"list" else client.get(name)
                expiry = client.execute_command("EXPIRETIME", name)
                assert expiry != -1, "every key has one"
                seen.append((value, expiry))
        return seen

    def _carry_out(self, limiter, verb, some, cost):
        if verb == "allow":
            return [limiter.allow(key) for key in some]
        if verb == "hit":
            return [str(limiter.hit(key, cost)) for key in some]
        if verb == "batch":
            return limiter.allow_many(some, cost).tolist()
        if verb == "block":
            return limiter.block(some[0], cost)
        if verb == "change":
            return limiter.change(Quota(1 + cost, 1), counts=["keep", "reset"][cost % 2])
        return limiter.reset(some[0])


@pytest.mark.parametrize("algorithm", [one for one in ALGORITHMS if "bucket" not in one.name], ids=str)
@given(steps)
@settings(max_examples=500 if NIGHTLY else 30, deadline=None)
def test_a_usual_case_equals_the_general_one(each_server, monkeypatch, algorithm, steps):
    usual, general = (Host(each_server, monkeypatch, algorithm, scripts(with_usual)) for with_usual in (True, False))
    assert usual.run(steps) == general.run(steps)
