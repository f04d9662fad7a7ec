"""The clients of other libraries, against a real server on this host; time is that of a ManualClock."""

import asyncio
import http.server
import threading
import time
from collections import namedtuple
from email.utils import formatdate

import aiohttp
import httpx
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from waiting import until

from ratelimit import CostExceedsLimit, TokenBucket, WaitTimeout
from ratelimit.contrib._outgoing import pause
from ratelimit.contrib.aiohttp import RateLimitMiddleware
from ratelimit.contrib.budget import Budget
from ratelimit.contrib.httpx import AsyncRateLimitTransport, RateLimitTransport
from ratelimit.contrib.requests import RateLimitAdapter
from ratelimit.testing import ManualClock

Answer = namedtuple("Answer", "status headers", defaults=(200, {}))


@pytest.fixture
def server():
    """Return a server with `answers` for its next requests and `seen` bodies; then it answers 200."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            found.seen.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            answer = found.answers.pop(0) if found.answers else Answer()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_):
            pass

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.daemon_threads = True
    found.answers, found.seen = [], []
    found.url = f"http://127.0.0.1:{found.server_address[1]}"
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def with_httpx(limit, **options):
    client = httpx.Client(transport=RateLimitTransport(limit, transport=httpx.HTTPTransport(verify=False), **options))
    return lambda url, data=b"": client.post(url, content=data).status_code


def with_httpx_async(limit, **options):
    async def send(url, data):
        transport._transport = httpx.AsyncHTTPTransport(verify=False)  # a connection belongs to an event loop
        async with httpx.AsyncClient(transport=transport) as client:
            return (await client.post(url, content=data)).status_code

    transport = AsyncRateLimitTransport(limit, transport=httpx.AsyncHTTPTransport(verify=False), **options)
    return lambda url, data=b"": asyncio.run(send(url, data))


def with_requests(limit, **options):
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", RateLimitAdapter(limit, **options))
    return lambda url, data=b"": session.post(url, data=data).status_code


def with_aiohttp(limit, **options):
    async def send(url, data):
        async with aiohttp.ClientSession(middlewares=[middleware]) as session, session.post(url, data=data) as answer:
            return answer.status

    middleware = RateLimitMiddleware(limit, **options)
    return lambda url, data=b"": asyncio.run(send(url, data))


CLIENTS = [with_httpx, with_httpx_async, with_requests, with_aiohttp]


@pytest.fixture(params=CLIENTS, ids=lambda client: client.__name__)
def make(request):
    return request.param


@pytest.fixture
def clock():
    return ManualClock()


def seconds(clock, function, *args, **kwargs):
    """Return the seconds of the clock that a call takes."""
    before = clock.now_ns()
    assert function(*args, **kwargs) == kwargs.pop("status", 200)
    return round((clock.now_ns() - before) / 1e9, 3)


def test_requests_wait_for_their_turn_by_host_and_port(make, server, clock):
    send = make("2/second", clock=clock)
    assert [seconds(clock, send, server.url) for _ in range(4)] == [0, 0, 0.5, 0.5]
    assert seconds(clock, send, server.url.replace("127.0.0.1", "localhost")) == 0
    assert len(server.seen) == 5


def test_key_cost_and_limit_may_be_functions_of_the_request(make, server, clock):
    send = make("4/second", clock=clock, key=lambda request: "all", cost=lambda request: 4)
    assert [seconds(clock, send, url) for url in (server.url, server.url.replace("127.0.0.1", "localhost"))] == [0, 1]
    tiers = make(lambda request: "1/second" if "slow" in str(request.url) else None, clock=clock)
    assert [seconds(clock, tiers, f"{server.url}/{path}") for path in ("slow", "fast", "fast", "slow")] == [0, 0, 0, 1]


def test_a_timeout_sends_nothing(make, server, clock):
    send = make("1/minute", clock=clock, timeout=5)
    send(server.url)
    with pytest.raises(WaitTimeout):
        send(server.url)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (Answer(429, {"Retry-After": "7"}), 7),
        (Answer(503, {"Retry-After": "7", "RateLimit": '"a";r=0;t=99'}), 7),
        (Answer(200, {"RateLimit": '"a";r=5;t=50, "b";r=0;t=9'}), 9),
        (Answer(200, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4"}), 4),
        (Answer(200, {"Retry-After": "7"}), 0),
    ],
)
def test_requests_wait_as_long_as_the_server_asks(make, server, clock, answer, wait):
    send = make("100/second", clock=clock)
    server.answers.append(answer)
    assert send(server.url) == answer.status
    assert seconds(clock, send, server.url) == wait


def test_obey_false_does_not_wait_for_retry_after(make, server, clock):
    send = make("100/second", clock=clock, obey=False)
    server.answers.append(Answer(429, {"Retry-After": "7"}))
    assert send(server.url) == 429
    assert seconds(clock, send, server.url) == 0


def test_a_refused_request_is_sent_again_if_asked(make, server, clock):
    send = make("100/second", clock=clock, retries=2)
    server.answers += [Answer(429, {"Retry-After": "3"}), Answer(503, {"Retry-After": "4"})]
    assert seconds(clock, send, server.url, b"hello") == 7
    assert server.seen == [b"hello"] * 3
    server.answers += [Answer(429, {"Retry-After": "1"})] * 3
    assert send(server.url, b"hello") == 429
    server.answers += [Answer(429)]  # without a time to wait
    assert send(server.url, b"hello") == 429


def test_a_limiter_and_a_name_in_shared_memory_are_shared(make, server, clock, shared_name):
    limiter = TokenBucket("2/second", clock=clock)
    one, other = make(limiter), make(limiter)
    assert [seconds(clock, send, server.url) for send in (one, other, one, other)] == [0, 0, 0.5, 0.5]
    one, other = (make("2/second", clock=clock, shared=shared_name) for _ in range(2))
    assert [seconds(clock, send, server.url) for send in (one, other, one, other)] == [0, 0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("options", "problem"),
    [({"limit": "5/fortnight"}, "limit '5/fortnight'"), ({"key": "host"}, "key: expected a function"),
     ({"cost": 0}, "cost: expected a whole number from 1"),
     ({"limit": TokenBucket("1/second"), "shared": "name"}, "shared: expected none beside a TokenBucket, which has its own"), ({"retries": -1}, "retries: expected a whole number from 0")],
)  # fmt: skip
def test_wrong_arguments_are_named(make, options, problem):
    with pytest.raises((TypeError, ValueError), match=problem):
        make(**{"limit": "1/second", **options})


def test_requests_of_an_event_loop_are_sent_in_their_order_by_the_real_clock():
    sent = []

    async def send_all():
        inner = httpx.MockTransport(lambda request: sent.append(request.url.path) or httpx.Response(200))
        transport = AsyncRateLimitTransport("50/second burst 1", transport=inner)
        async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
            await asyncio.gather(*(client.get(f"/{number}") for number in range(6)))

    began = time.monotonic()
    asyncio.run(send_all())
    assert time.monotonic() - began >= 0.1
    assert sent == [f"/{number}" for number in range(6)]


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (429, {"retry-after": formatdate(NOW + 30, usegmt=True)}, (30, True)),
        (429, {"retry-after": formatdate(NOW - 30, usegmt=True)}, (0, True)),
        (429, {"retry-after": "soon"}, (0, False)),
        (429, {"retry-after": "-5"}, (0, False)),
        (429, {"retry-after": "1.5"}, (1.5, True)),
        (404, {"retry-after": "5"}, (0, False)),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW) + 20)}, (20, False)),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "6m0s"}, (0, False)),
        (200, {"ratelimit-remaining": "0", "ratelimit-reset": "6"}, (6, False)),
        (200, {"ratelimit-remaining": "1", "ratelimit-reset": "6"}, (0, False)),
        (200, {"ratelimit": '"a;r=0;t=5";r=1;t=9'}, (0, False)),
        (200, {"ratelimit": '"a\\"b";pk=:YQ==:;r=0;t=5'}, (5, False)),
        (200, {"ratelimit": '"a";r=0'}, (0, False)),
        (200, {"ratelimit": "limit=1, remaining=0, reset=5"}, (0, False)),
    ],
)
def test_reads_the_pause_that_an_answer_asks_for(status, headers, expected):
    assert pause(status, headers, NOW) == expected


@given(
    st.sampled_from([200, 429]),
    st.sampled_from(["retry-after", "ratelimit", "x-ratelimit-reset"]),
    st.text('0123456789 ;=,rt"-:GMT.', max_size=40),
)
def test_malformed_fields_never_raise(status, name, value):
    wait, _ = pause(status, {name: value, "x-ratelimit-remaining": "0"}, NOW)
    assert wait <= 1e13


# --- budgets


@pytest.fixture
def budget(clock):
    return Budget(requests="60/minute", tokens="6000/minute", clock=clock)


def begin(clock, budget, **estimates):
    """Return the seconds until the turn of a call, and the call."""
    before = clock.now_ns()
    with budget.spend("model", **estimates) as call:
        return round((clock.now_ns() - before) / 1e9, 3), call


def test_a_budget_waits_for_the_scarcest_of_its_limits(clock, budget):
    assert begin(clock, budget, tokens=6_000)[0] == 0
    assert begin(clock, budget, tokens=600)[0] == 6
    budget.clear()
    assert [begin(clock, budget, tokens=1)[0] for _ in range(62)] == [0] * 60 + [1, 1]


def test_what_was_not_used_comes_back_and_more_is_waited_for(clock, budget):
    _, call = begin(clock, budget, tokens=6_000)
    call.used(tokens=0)
    _, call = begin(clock, budget, tokens=6_000)
    call.used(tokens=3_000)
    call.used(tokens=2_000)  # a correction of the correction
    assert begin(clock, budget, tokens=4_000)[0] == 0
    _, call = begin(clock, budget, tokens=100)
    assert call.used(tokens=20_000) is None  # more than the whole budget of three minutes
    assert begin(clock, budget, tokens=100)[0] == 200


def test_a_call_that_was_not_made_gives_everything_back(clock, budget):
    _, call = begin(clock, budget, requests=60, tokens=6_000)
    call.cancel()
    assert begin(clock, budget, requests=60, tokens=6_000)[0] == 0


def test_a_budget_may_have_any_limits_and_several_under_one_name(clock):
    budget = Budget(tokens="10/second; 100/minute", words="1000/second", clock=clock)
    waits = [begin(clock, budget, tokens=10, words=1)[0] for _ in range(12)]
    assert waits[:6] == [0, 1, 1, 1, 1, 1]
    assert sum(waits) == 12  # the time in which 20 of 120 tokens come back


def test_a_server_makes_a_budget_wait(clock, budget):
    budget.block("model", 12)
    assert begin(clock, budget, tokens=1)[0] == 12


def test_calls_of_an_event_loop_never_exceed_the_budget_and_keep_their_order(clock):
    budget = Budget(requests="1000/second", tokens="400/second burst 100")  # by the real clock
    order = []

    async def call(number):
        async with budget.spend("model", tokens=30) as made:
            order.append(number)
            made.used(tokens=25)

    async def all_of_them():
        await asyncio.gather(*(call(number) for number in range(8)))

    began = time.monotonic()
    asyncio.run(all_of_them())
    assert time.monotonic() - began >= 0.24  # 200 tokens, of which 100 wait a quarter of a second
    assert order == list(range(8))


def test_budgets_of_a_name_are_one(clock, shared_name):
    one, other = (Budget(tokens="100/minute", shared=shared_name, clock=clock) for _ in range(2))
    assert begin(clock, one, tokens=100)[0] == 0
    assert begin(clock, other, tokens=50)[0] == 30


def test_a_budget_limits_the_requests_of_a_client(make, server, clock, budget):
    """The estimate is reserved with the request, and settled by the answer."""
    options = {"key": lambda request: "model", "cost": lambda request: {"tokens": 6_000}}
    unsettled = make(budget, **options)
    assert [seconds(clock, unsettled, server.url) for _ in range(2)] == [0, 60]
    budget.clear()
    settled = make(budget, used=lambda answer: {"tokens": int(answer.headers["x-used"])}, **options)
    server.answers += [Answer(headers={"x-used": "600"}) for _ in range(2)]
    assert [seconds(clock, settled, server.url) for _ in range(2)] == [0, 6]


def test_a_budget_waits_as_long_as_the_server_asks_and_gives_back_what_was_refused(make, server, clock, budget):
    send = make(
        budget, cost={"tokens": 6_000}, retries=1, used=lambda answer: {"tokens": 0} if "retry-after" in answer.headers else None
    )  # fmt: skip
    server.answers += [Answer(429, {"Retry-After": "5"})]
    assert seconds(clock, send, server.url) == 5


def test_a_stream_of_events_keeps_its_estimate(make, server, clock, budget):
    send = make(budget, cost={"tokens": 6_000}, used=lambda answer: {"tokens": 0})
    server.answers += [Answer(headers={"Content-Type": "text/event-stream; charset=utf-8"})]
    assert [seconds(clock, send, server.url) for _ in range(2)] == [0, 60]


def test_the_body_of_an_answer_that_was_read_is_still_there(clock, budget):
    """An SDK reads it after the transport."""
    server = httpx.MockTransport(lambda request: httpx.Response(200, json={"usage": {"total_tokens": 600}}))
    options = {"cost": {"tokens": 6_000}, "used": lambda answer: {"tokens": answer.json()["usage"]["total_tokens"]}}
    client = httpx.Client(transport=RateLimitTransport(budget, transport=server, **options))
    with client.stream("GET", "http://example.com/") as answer:
        assert b"".join(answer.iter_bytes()) == b'{"usage":{"total_tokens":600}}'
    assert begin(clock, budget, tokens=6_000)[0] == 0  # another key: the default is the host
    budget.clear()
    assert client.get("http://example.com/").json() == {"usage": {"total_tokens": 600}}


def test_wrong_arguments_beside_a_budget_are_named(make, budget):
    for options, problem in [
        ({}, "spend: expected an estimate tokens="),
        ({"cost": {"words": 1}}, "spend: expected the limits requests, tokens, got 'words'"),
        ({"cost": {"tokens": 0}}, "tokens: expected a whole number from 1"),
        ({"cost": {"tokens": 1}, "timeout": 5}, "timeout: expected none beside a Budget, which has its own, got 5"),
        ({"cost": {"tokens": 1}, "shared": "name"}, "shared: expected none beside a Budget"),
        ({"limit": "1/second", "used": len}, "used: expected a Budget as limit, got '1/second'"),
        ({"limit": "1/second", "cost": {"tokens": 1}}, "cost: expected a whole number"),
    ]:
        with pytest.raises((TypeError, ValueError), match=problem):
            make(**{"limit": budget} | options)


def test_wrong_numbers_are_named(clock, budget):
    for make, problem in [
        (lambda: Budget(), "limits: expected one or more"),
        (lambda: Budget(requests=60), "requests: expected text"),
        (lambda: Budget(requests="60"), "limit '60'"),
        (lambda: budget.spend("model"), "spend: expected an estimate tokens="),
        (lambda: budget.spend("model", tokens=0), "tokens: expected a whole number from 1"),
        (lambda: budget.spend("model", tokens=1, words=1), "spend: expected the limits requests, tokens, got 'words'"),
        (lambda: budget.spend("model", tokens=1).used(tokens=-1), "tokens: expected a whole number from 0"),
        (lambda: budget.spend("model", tokens=1).used(words=1), "used: expected the limits"),
    ]:
        with pytest.raises((TypeError, ValueError), match=problem):
            make()
    with pytest.raises(CostExceedsLimit):
        begin(clock, budget, tokens=6_001)
    hurried = Budget(tokens="60/minute", timeout=5, clock=clock)
    begin(clock, hurried, tokens=60)
    with pytest.raises(WaitTimeout):
        begin(clock, hurried, tokens=60)
    assert until(lambda: begin(clock, hurried, tokens=5)[0]) == 5
