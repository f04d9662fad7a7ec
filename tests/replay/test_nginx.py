"""The decisions of nginx's `limit_req`, compared with a LeakyBucket of the same configuration.

Both count in the same way: one in service, `burst` more, and a constant drain. Their clocks differ. nginx decides
by a monotonic clock that it reads coarsely (CLOCK_MONOTONIC_COARSE, a few milliseconds a tick) and cuts to
milliseconds; the moment in its log is the wall clock, cut to milliseconds, as it was in the same turn of the event
loop. So the two readings of a request, up to a constant, lie less than TOLERANCE apart: a tick and a millisecond.

A bucket is full at `max(full, now) + interval`. Neither the sum nor the maximum makes a difference of clocks
larger, so the difference stays below TOLERANCE however many requests there are: a decision can differ only where
the bucket is within TOLERANCE of the brink. That is what is tested, for each request.
"""

import json
import subprocess
import time
from dataclasses import dataclass
from urllib.request import urlopen

import numpy as np
import pytest
from ports import free_port, until_open
from tools import program
from waiting import PATIENCE, until

from ratelimit import LeakyBucket
from ratelimit.replay import replay, replay_log

pytestmark = pytest.mark.proxy

MS = 1_000_000
CLOCK_MONOTONIC_COARSE = 6  # of Linux; the time module does not name it
TOLERANCE = round(time.clock_getres(CLOCK_MONOTONIC_COARSE) * 1e9) + MS
RATE, BURST = 50, 20  # at 50/s an interval is 20 ms: TOLERANCE is a part of one request
INTERVAL = 1_000 * MS // RATE

CONFIG = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    limit_req_zone $http_x_client zone=clients:10m rate={rate}r/s;
    limit_req_status 429;
    log_format trace escape=json '{{"msec": $msec, "request_time": $request_time, "http_x_client": "$http_x_client",'
        ' "limit_req_status": "$limit_req_status", "status": $status, "request": "$request"}}';
    access_log {folder}/access.log trace;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port};
        location / {{ limit_req zone=clients burst={burst} {delay}; empty_gif; }}
        location = /status {{ stub_status; access_log off; }}
    }}
}}
"""
CLIENTS = """
math.randomseed(7)
request = function()
    wrk.headers["X-Client"] = "client-" .. math.random({clients})
    return wrk.format("GET", "/pixel?" .. math.random(1000))
end
delay = function() return math.random(0, {pause}) end
"""


@dataclass
class Load:
    """The load on nginx: the number of clients and of their connections, and the pause in milliseconds."""

    name: str
    delay: str
    clients: int
    connections: int
    pause: int

    def __repr__(self):
        return self.name


LOADS = [
    Load("spaced, nodelay", "nodelay", clients=4, connections=16, pause=20),
    Load("flooded, nodelay", "nodelay", clients=8, connections=32, pause=0),
    Load("delayed", "", clients=2, connections=80, pause=20),
]


@pytest.fixture(scope="module", params=LOADS, ids=repr)
def load(request):
    return request.param


@pytest.fixture(scope="module")
def log(load, tmp_path_factory):
    """Run nginx under wrk and return its log."""
    folder = tmp_path_factory.mktemp("nginx")
    port = free_port()
    config, script = folder / "nginx.conf", folder / "clients.lua"
    config.write_text(CONFIG.format(folder=folder, port=port, rate=RATE, burst=BURST, delay=load.delay))
    script.write_text(CLIENTS.format(clients=load.clients, pause=load.pause))
    server = subprocess.Popen([program("nginx"), "-p", folder, "-c", config])
    try:
        until_open(port, server)
        wrk = [program("wrk"), "-t1", f"-c{load.connections}", "-d3s", "-s", script, f"http://127.0.0.1:{port}/"]
        subprocess.run(wrk, check=True, timeout=PATIENCE, stdout=subprocess.DEVNULL)
        until_all_logged(f"http://127.0.0.1:{port}/status")
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)
    return folder / "access.log"


def until_all_logged(status):
    """Wait until nginx has seen that wrk is gone: only then does it log delayed requests, and on SIGTERM not at all."""

    def only_this_connection():
        with urlopen(status, timeout=PATIENCE) as answer:
            return answer.read().startswith(b"Active connections: 1 ")

    until(only_this_connection, lambda: "nginx has connections open after wrk has ended")


@pytest.fixture(scope="module")
def requests(log):
    """Return (time, client, whether refused, milliseconds it took), in the order of the decisions.

    The decision falls when the request has been read, `request_time` before it is logged. Of those within one
    millisecond the order is not known if some were delayed: the admitted come first.
    """
    records = map(json.loads, log.read_text().splitlines())
    rows = [
        (
            round(float(record["msec"]) * 1_000) - round(record["request_time"] * 1_000),
            record["http_x_client"],
            record["limit_req_status"] == "REJECTED",
            round(record["request_time"] * 1_000),
        )
        for record in records
        if record["http_x_client"]
    ]
    return sorted(((at * MS, *rest) for at, *rest in rows), key=lambda row: (row[0], row[2]))


def contradictions(requests, rate=RATE, burst=BURST):
    """Return the requests on which nginx and a leaky bucket in the same state differ by more than the clocks.

    A bucket with more room takes all that nginx admitted, so its state is nginx's; `delay` is how full it is.
    """
    interval = 1_000 * MS // rate
    wide = LeakyBucket(f"{rate}/second", capacity=10 * burst)
    found = []
    for at, client, refused, _ in requests:
        decision = (wide.peek if refused else wide.hit)(client, now=at)
        beyond = decision.delay_ns - burst * interval  # above 0: refused
        if (refused and beyond <= -TOLERANCE) or (not refused and beyond >= TOLERANCE):
            found.append((at, client, refused, beyond))
    return found


def test_each_decision_of_nginx_equals_a_leaky_bucket(requests):
    """Decisions may differ only where the bucket is within TOLERANCE of the limit."""
    refused = sum(row[2] for row in requests)
    assert len(requests) > 300
    assert 50 < refused < len(requests) - 50
    assert contradictions(requests) == []


def test_another_limit_would_contradict(requests):
    """The comparison can fail: it detects a burst that differs by one, and a slightly different rate."""
    assert contradictions(requests, burst=BURST + 1)
    assert contradictions(requests, burst=BURST - 1)
    assert contradictions(requests, rate=RATE - 5)


def test_replay_refuses_the_same_requests_as_nginx(requests, load):
    """The replay does not know the decisions of nginx."""
    moments = np.array([row[0] for row in requests])
    clients = [row[1] for row in requests]
    admitted = ~np.array([row[2] for row in requests])
    report = replay(moments, clients, f"leaky-bucket {RATE}/second burst {BURST}", keep=True)
    ours = report.outcomes[0].allowed
    for client in set(clients):
        mine = np.array([other == client for other in clients])
        ends = np.flatnonzero(np.diff(moments[mine], append=2**62))  # the order within a millisecond is unknown
        ahead = np.cumsum(ours[mine].astype(int) - admitted[mine].astype(int))[ends]
        assert abs(ahead).max() <= 1
    if load.pause:
        assert (ours != admitted).mean() < 0.1


def test_replay_of_the_nginx_log_counts_the_same(log, requests, load):
    """The command reads nginx's JSON log and counts as many requests and refusals, client by client."""
    if not load.delay:  # $msec is when a delayed request ends
        return
    limit = f"leaky-bucket {RATE}/second capacity {BURST}"
    report = replay_log(log, limit, key="header.x-client", time="msec")
    asked = [row for row in requests if row[1]]
    assert report.requests == len(asked) + report.source.broken + unnamed(log)
    refused = sum(row[2] for row in asked)
    clients = len({row[1] for row in asked})
    assert abs(report.outcomes[0].refused - refused) <= clients + unnamed(log)


def unnamed(log):
    """Return the requests without the header, which `limit_req` does not count: only those of the probe."""
    return sum(not json.loads(line)["http_x_client"] for line in log.read_text().splitlines())


def test_delay_of_nginx_is_the_wait_for_a_turn(requests, load):
    """Without `nodelay`, the wait in nginx is the delay of the bucket, up to the clocks and the timers."""
    if load.delay:
        return
    report = replay(
        np.array([row[0] for row in requests]), [row[1] for row in requests],
        f"leaky-bucket {RATE}/second burst {BURST}",
    )  # fmt: skip
    took = sorted(row[3] for row in requests if not row[2])
    median = took[len(took) // 2] / 1_000
    assert report.outcomes[0].delays.median == pytest.approx(median, abs=0.045 * median + (TOLERANCE + 20 * MS) / 1e9)
    assert report.outcomes[0].delays.largest <= BURST * INTERVAL / 1e9
