"""Logs, line by line beside the oracle, which shares no code with the library: neither parser nor decisions."""

import re
import subprocess
import sys
from collections import Counter
from datetime import datetime
from itertools import islice

import numpy as np
import oracle
import pytest
from replay_tools import ROOT

from ratelimit.replay import replay, replay_log
from ratelimit.replay.logs import recorded
from ratelimit.replay.reading.reader import Reader

SECOND = 10**9
LINE = re.compile(r'^(\S+) \S+ \S+ \[([^\]]+)\] "(?:[^"\\]|\\.)*" \d{3} ')
LIMIT, PERIOD = 30, 60 * SECOND  # as examples/demo.py has it
ORACLES = {
    "token-bucket": oracle.TokenBucket,
    "leaky-bucket": oracle.LeakyBucket,
    "fixed-window": oracle.FixedWindow,
    "sliding-window": oracle.SlidingWindow,
    "sliding-log": oracle.SlidingLog,
}


@pytest.fixture(scope="module")
def log(access_log, tmp_path_factory):
    """Return the first 15,000 lines, since the oracle is slow."""
    path = tmp_path_factory.mktemp("log") / "access.log"
    with open(access_log, encoding="utf-8", errors="surrogateescape") as source:
        path.write_text("".join(islice(source, 15_000)), encoding="utf-8", errors="surrogateescape")
    return path


@pytest.fixture(scope="module")
def requests(log):
    """Return (time, client) of each readable line, by time; lines with equal times keep their order."""
    found = [LINE.match(line) for line in log.read_text(encoding="utf-8", errors="surrogateescape").splitlines()]
    rows = [
        (round(datetime.strptime(line[2], "%d/%b/%Y:%H:%M:%S %z").timestamp()) * SECOND, line[1])
        for line in found
        if line
    ]
    return sorted(rows, key=lambda row: row[0])


@pytest.fixture(scope="module", params=ORACLES)
def algorithm(request):
    return request.param


@pytest.fixture(scope="module")
def expected(algorithm, requests):
    """Return the decisions of the oracle."""
    keys, allowed = {}, []
    for moment, client in requests:
        one = keys.setdefault(client, ORACLES[algorithm](LIMIT, PERIOD))
        allowed.append(one.fits(moment, 1, one.own))
        if allowed[-1]:
            one.spend(moment, 1, one.own)
    return allowed


def test_reader_reads_the_same_requests(log, requests):
    reader = Reader([str(log)])
    trace, _ = recorded(reader)
    batches = list(trace.batches())
    times = np.concatenate([batch.times for batch in batches]).tolist()
    ids = np.concatenate([batch.ids for batch in batches]).tolist()
    assert list(zip(times, map(reader.name, ids), strict=True)) == requests


def test_each_decision_equals_the_oracle(algorithm, requests, expected):
    moments, clients = zip(*requests, strict=True)
    report = replay(np.array(moments), list(clients), f"{algorithm} {LIMIT}/minute", keep=True)
    assert report.outcomes[0].allowed.tolist() == expected


def test_counts_of_a_log_equal_the_oracle(algorithm, log, requests, expected):
    outcome = replay_log(log, f"{algorithm} {LIMIT}/minute").outcomes[0]
    refused = Counter(client for (_, client), allowed in zip(requests, expected, strict=True) if not allowed)
    asked = Counter(client for _, client in requests)
    assert (outcome.admitted, outcome.refused) == (sum(expected), len(expected) - sum(expected))
    assert outcome.keys_refused == len(refused)
    assert [key.refused for key in outcome.top] == sorted(refused.values(), reverse=True)[: len(outcome.top)]
    assert all((key.refused, key.requests) == (refused[key.key], asked[key.key]) for key in outcome.top)


def test_counts_of_the_demo_equal_the_oracle(algorithm, log, expected):
    run = [sys.executable, ROOT / "examples/demo.py", log]
    printed = subprocess.run(run, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    line = next(line for line in printed.splitlines() if line.startswith(algorithm))
    admitted, refused = line.removeprefix(f"{algorithm} {LIMIT}/minute").split()[:2]
    assert int(admitted.replace(",", "")) == sum(expected)
    assert int(refused.replace(",", "")) == len(expected) - sum(expected)


def test_demo_makes_up_its_own_traffic():
    run = [sys.executable, ROOT / "examples/demo.py"]
    printed = subprocess.run(run, check=True, capture_output=True, text=True, cwd=ROOT)
    assert all(name in printed.stdout for name in ORACLES)
    assert "203.0.113.66" in printed.stdout  # who tries passwords
    assert printed.stderr == ""  # no progress bar where there is no terminal
