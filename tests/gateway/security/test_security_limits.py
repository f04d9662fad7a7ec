"""No level is passed because another one fails, and no identity is asked for without a limit."""

import asyncio
import logging
import re
import subprocess
import sys
import threading

import httpx
import pytest
from gateway_harness import KEY, App
from gateway_looks import ask
from waiting import PATIENCE, until_async

from ratelimit.gateway import (
    Api,
    Authorizer,
    CalendarQuota,
    Configuration,
    Gateway,
    Mock,
    Plan,
    Route,
    Stage,
    Throttle,
    compiler,
)
from ratelimit.gateway.functions.pool import FunctionPool
from ratelimit.gateway.http.errors import Refusal
from ratelimit.gateway.throttling.failures import LimiterFailures
from ratelimit.testing import ManualClock


def keyed(count, plan, max_keys, **more):
    """An app whose keys share a plan."""
    names = [f"k{i}" for i in range(count)]
    api = Api(
        routes={"GET /": Route(mock=Mock(), api_key_required=True)},
        stages={"prod": Stage(throttle=more.pop("stage", None))},
    )
    configuration = Configuration(
        {"a": api},
        api_keys={name: f"{KEY}{name}" for name in names},
        plans={"p": Plan(keys=names, stages=["a/prod"], **plan)},
        max_keys=max_keys,
        throttle=None,
        **more,
    )
    ask = App(configuration, clock=ManualClock())
    return ask, [{"x-api-key": f"{KEY}{name}"} for name in names]


def test_a_level_without_room_is_skipped_alone(caplog):
    """A stage that is used up refuses every key, also one that has no slot in the table of its plan."""
    slow = Throttle(0.001, 100)
    ask, keys = keyed(60, {"throttle": slow}, 16, stage=Throttle(0.001, 30))
    statuses = [ask.get("/prod/", headers=key).status_code for key in keys]
    assert statuses == [200] * 30 + [429] * 30
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert 1 <= len(errors) <= 2
    assert not any(record.exc_info for record in errors)


def test_a_refusal_beside_a_level_without_room_costs_nothing_elsewhere():
    """The levels before the one that refused get back what they spent."""
    ask, keys = keyed(60, {"throttle": Throttle(0.001, 100), "quota": CalendarQuota(1, "DAY")}, 16)
    answers = [ask.get("/prod/", headers=key) for key in keys for _ in range(2)]
    assert {one.status_code for one in answers} == {200, 429}
    ask, keys = keyed(2, {"throttle": Throttle(0.001, 3)}, 16, stage=Throttle(0.001, 2))
    assert [ask.get("/prod/", headers=keys[0]).status_code for _ in range(4)] == [200, 200, 429, 429]


def test_fail_closed_refuses_what_a_failing_level_would_decide(caplog):
    ask, keys = keyed(60, {"throttle": Throttle(0.001, 100)}, 16, on_limiter_error="fail_closed")
    statuses = [ask.get("/prod/", headers=key).status_code for key in keys]
    assert set(statuses) == {200, 503}
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) <= 2


def test_failures_are_logged_once_a_minute(caplog):
    now = [0.0]
    report = LimiterFailures("fail_open", lambda: now[0])
    for second in range(121):
        now[0] = float(second)
        report("plan", ValueError("full"))
    lines = [record.getMessage() for record in caplog.records]
    assert [int(re.search(r"(\d+) times", line)[1]) for line in lines] == [1, 60, 60]
    assert all("level plan" in line for line in lines)


# --- before an authorizer


def test_an_authorizer_is_asked_only_within_the_limits_that_need_no_identity():
    """Requests that it denies spend the account's limit, so that it cannot be made to work without bound."""
    asked = []

    def authorizer(event):
        asked.append(event)
        return False

    api = Api(
        routes={"GET /": Route(mock=Mock(), authorizer="own")},
        authorizers={"own": Authorizer(authorizer)},
        stages={"$default": Stage()},
    )
    ask = App(Configuration({"a": api}, throttle=Throttle(0.001, 5)), clock=ManualClock())
    statuses = [ask.get("/", headers={"authorization": f"t{i}"}).status_code for i in range(20)]
    assert statuses == [403] * 5 + [429] * 15
    assert len(asked) == 5


def test_what_a_plan_refuses_costs_the_other_levels_nothing():
    """Rule: a request that one level rejects consumes nothing at any other level."""
    api = Api(
        routes={"GET /": Route(mock=Mock(), authorizer="own", api_key_required=True)},
        authorizers={"own": Authorizer(lambda event: {"isAuthorized": True, "usageIdentifierKey": KEY})},
        stages={"prod": Stage(throttle=Throttle(0.001, 5))},
    )
    plan = Plan(keys=["ann"], stages=["a/prod"], throttle=Throttle(0.001, 2))
    clock = ManualClock()
    ask = App(Configuration({"a": api}, api_keys={"ann": KEY}, plans={"p": plan}), clock=clock)
    answers = [ask.get("/prod/", headers={"authorization": "x"}) for _ in range(20)]
    assert [one.status_code for one in answers] == [200] * 2 + [429] * 18
    assert answers[-1].headers["ratelimit"].startswith('"plan";r=0')
    assert ask.gateway.limiters.of["stage"].peek("a/prod", quota="5/5000 seconds").allowed


def test_denied_addresses_cost_nothing():
    api = Api(
        routes={"GET /": Route(mock=Mock(), authorizer="own", deny=["192.0.2.1"])},
        authorizers={"own": Authorizer(lambda event: True)},
        stages={"$default": Stage()},
    )
    ask = App(Configuration({"a": api}, throttle=Throttle(0.001, 1)), clock=ManualClock())
    assert [ask.get("/", headers={"authorization": "x"}).status_code for _ in range(3)] == [403] * 3
    assert ask.get("/", client="192.0.2.2", headers={"authorization": "x"}).status_code == 200


# --- pools of functions


def test_slow_authorizers_do_not_stop_functions():
    """They have threads of their own."""
    gate = threading.Event()

    def slow(event):
        gate.wait(PATIENCE)
        return True

    api = Api(
        routes={
            "GET /guarded": Route(mock=Mock(), authorizer="own"),
            "GET /free": Route(function=lambda event: "free"),
        },
        authorizers={"own": Authorizer(slow)},
        stages={"$default": Stage()},
    )
    gateway = App(Configuration({"a": api})).gateway

    async def run():
        transport = httpx.ASGITransport(gateway, client=("192.0.2.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            waiting = [
                asyncio.create_task(client.get("/guarded", headers={"authorization": str(i)})) for i in range(300)
            ]
            free = await client.get("/free")
            assert free.text == "free"
            assert not any(one.done() for one in waiting)
            gate.set()
            assert {one.status_code for one in await asyncio.gather(*waiting)} == {200}

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_calls_that_wait_are_bounded(kind):
    """A call counts until its function has returned, also after its timeout."""
    gate, pool = threading.Event(), FunctionPool("test", threads=2, max_calls=5)

    def blocking(event):
        gate.wait(PATIENCE)
        return "done"

    async def run():
        opened = asyncio.Event()

        async def suspended(event):
            await opened.wait()
            return "done"

        function = blocking if kind == "sync" else suspended
        calls = [asyncio.create_task(pool.call(function, ({},), 60)) for _ in range(5)]
        await until_async(lambda: pool._free._value == 0)
        with pytest.raises(Refusal):
            await pool.call(function, ({},), 60)
        gate.set()
        opened.set()
        assert await asyncio.gather(*calls) == ["done"] * 5
        assert await pool.call(function, ({},), 60) == "done"

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["process", "url"])
def test_calls_of_functions_elsewhere_are_bounded(kind, tmp_path, backend, monkeypatch):
    """They count together with those of functions in the process of the gateway."""

    async def answer(head, reader, writer):
        writer.write(b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n"hi"')

    (tmp_path / "app.py").write_text("def handler(event, context): return 'hi'")
    process = {"handler": "app.handler", "folder": str(tmp_path)}
    functions = {"f": process if kind == "process" else {"url": backend(answer).url}}
    pool = FunctionPool("function", max_calls=1)
    monkeypatch.setattr(compiler, "FUNCTIONS", pool)
    apis = {"a": {"routes": {"GET /": {"function": "f"}}, "stages": {"$default": {}}}}
    gateway = Gateway(Configuration(functions=functions, apis=apis))

    async def statuses():
        pool._free.acquire()
        refused, *_ = await ask(gateway)
        pool._free.release()
        served = [(await ask(gateway))[0] for _ in range(2)]
        gateway.functions.keep(())
        return [refused, *served]

    assert asyncio.run(statuses()) == [503, 200, 200]


def test_an_interpreter_ends_while_a_function_hangs():
    """Where SIGINT is ignored, as in the background of a shell script, no signal ends the process instead."""
    program = """
import asyncio, threading
from ratelimit.gateway.functions.pool import FUNCTIONS

async def main():
    try:
        await FUNCTIONS.call(threading.Event().wait, (), 0.05)
    except TimeoutError:
        print(await FUNCTIONS.call(sum, ([1, 2],), 60))

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr


def test_a_call_without_a_thread_takes_no_place(monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    async def calls():
        pool = FunctionPool("test", threads=2, max_calls=1)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            for _ in range(3):
                with pytest.raises(Refusal):
                    await pool.call(sum, ([1, 2],), 60)
        return await pool.call(sum, ([1, 2],), 60)

    assert asyncio.run(calls()) == 3
