"""The gain of a second core: the arithmetic, the timed threads, and a short run of the whole section."""

import sys
import threading

import numpy as np
import pytest
from waiting import PATIENCE, pace, until

from ratelimit._storage.census import census
from ratelimit.bench import _loops, cores
from ratelimit.bench.cores import ADD, C_LOOP, DENIED, HOT, OWN, Gains, Pair, Scaling, gain, together
from ratelimit.bench.measure import Effort

LITTLE = Effort(rounds=2, piece_ns=100_000, many=1_000)
HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


def test_gain_is_two_if_both_threads_take_as_long_as_one():
    assert gain(alone=1, both=1) == 2
    assert gain(alone=1, both=2) == 1
    assert gain(alone=1, both=4) == 0.5


def test_ratio_is_the_median_of_neighbouring_rounds():
    scaling = Scaling([], LITTLE)
    scaling.gains = {"ours": [1.0, 1.5, 0.9], "loop": [2.0, 1.5, 1.0]}
    assert scaling.gain("ours") == 1
    assert scaling.ratio("ours", "loop") == 0.9


def test_threads_do_their_chunks_and_the_slower_one_is_reported():
    done = [0, 0]
    threads = []

    def quick():
        done[0] += 1
        threads.append(threading.current_thread())

    def slow():
        if done[1] == 2:
            until(lambda: threads)
            threads[0].join(PATIENCE)
            pace(0.1)
        done[1] += 1

    run = together([quick, slow], 10)
    assert done == [10, 10]
    assert run.seconds >= 0.1
    assert run.evenness <= 0.2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_fails_raises():
    with pytest.raises(RuntimeError, match="a thread failed"):
        together([lambda: 1 / 0, int], 1)


def test_loops_do_their_work():
    words = np.frombuffer(bytearray(16 * 5 + 16), np.uint64)
    words = words[words.ctypes.data % 16 // 8 :][:10].reshape(-1, 2)
    _loops.swap_words(words, np.array([1, 3, 3]))
    assert words.tolist() == [[0, 0], [1, 0], [0, 0], [2, 0], [0, 0]]
    counter = np.zeros(1, np.uint64)
    together([lambda: _loops.fetch_and_add(counter, 50_000)] * 2, 2)
    assert counter[0] == 200_000


@pytest.mark.parametrize("make", [cores.calling, cores.batching])
def test_crews_admit_or_refuse_as_named(make, monkeypatch):
    limiters = []
    original = cores._shared_out
    monkeypatch.setattr(cores, "_shared_out", lambda name: limiters.append(original(name)) or limiters[-1])
    for name, keys in [(OWN, 2 * cores.KEYS), (HOT, 1), (DENIED, 1)]:
        together(make(name).chunks, 1)
        limiter = limiters[-1][0][0]
        assert census(limiter).keys == keys
        key = 0 if make is cores.batching else "user:0"
        assert limiter.peek(key).allowed is (name != DENIED)


def test_two_processes_share_one_table():
    with cores.processes() as pair:
        assert isinstance(pair, Pair)
        together(pair.chunks, 1)
        (name,) = (name for name in cores.ratelimit.Table.names() if name.startswith("bench-"))
        assert census(cores.ratelimit.Limiter.of(cores.ratelimit.Table.shared(name))).keys == 2 * cores.KEYS
    assert name not in cores.ratelimit.Table.names()


@pytest.mark.skipif(not HAS_GIL, reason="about an interpreter with a GIL")
def test_names_the_setting_for_targets_that_were_not_measured(monkeypatch):
    monkeypatch.delenv(cores.FREE_THREADED, raising=False)
    section = cores.measure(LITTLE, lambda step: None)
    unknown = [target for target in section.targets if target.measured is None]
    assert len(section.targets) == 11
    assert len(unknown) == 5
    assert all(target.met is None and cores.FREE_THREADED in target.row[2] for target in unknown)


@pytest.mark.skipif(not HAS_GIL, reason="it measures by itself")
@pytest.mark.parametrize("interpreter", ["/nowhere/python", "false"])
def test_reports_an_interpreter_that_cannot_run_without_the_gil(monkeypatch, interpreter):
    """The other measurements are kept."""
    monkeypatch.setenv(cores.FREE_THREADED, interpreter)
    gains, why_not = cores.without_gil(LITTLE)
    assert gains == {}
    assert cores.FREE_THREADED in why_not
    assert interpreter in why_not


def test_targets_use_the_measurements_that_they_name():
    gains = {name: Gains(1, 2, 3, 4) for name in (C_LOOP, ADD, OWN, HOT, DENIED)}
    assert [target.measured for target in cores._targets("threads", gains, 0.9)] == [2, 1, 3, 4, 2]
