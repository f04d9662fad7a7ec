"""Several processes, restarts and reloads: no limit is multiplied, and none forgotten."""

import asyncio
import itertools
import os
import signal
import threading

import httpx
import pytest
from gateway_harness import KEY
from ports import free_port
from waiting import PATIENCE, pace_async, until, until_async

from ratelimit import Table

GATEWAY = """
tables: {tables}
apis:
  shop:
    type: rest
    resources:
      /pets: {{GET: {{api_key_required: true, mock: {{body: "pets"}}}}}}
      /pid: {{GET: {{function: "pids:pid"}}}}
    stages:
      prod: {{throttle: {{rate: 0, burst: 0}}, route_throttles: {{GET /pets: {{rate: 0.001, burst: {burst}}}}}}}
      dev: {{}}
api_keys: {{ann: {key}}}
plans: {{gold: {{keys: ann, stages: [shop/prod, shop/dev], quota: {{limit: {limit}, period: MONTH}}}}}}
"""


@pytest.fixture
def gateway_text(tmp_path):
    (tmp_path / "pids.py").write_text(
        "import os\n\ndef pid(event):\n    return {'statusCode': 200, 'body': str(os.getpid())}\n"
    )

    def text(tables="memory", burst=1000, limit=100):
        return GATEWAY.format(tables=tables, burst=burst, limit=limit, key=KEY)

    yield text
    for name in Table.names():
        if name.startswith("gateway-test-"):
            Table.shared(name).remove()


def ask(url, count, path="/dev/pets", clients=12):
    """Send concurrent requests on many connections and return their statuses."""

    async def run():
        async def one(number):
            async with httpx.AsyncClient(headers={"x-api-key": KEY}, timeout=PATIENCE) as client:
                return [(await client.get(url + path)).status_code for _ in range(number)]

        found = await asyncio.gather(*(one(count // clients) for _ in range(clients)))
        return list(itertools.chain.from_iterable(found))

    return asyncio.run(run())


def workers_of(url, expected):
    """Return the process IDs of the workers."""
    found = set()
    for _ in range(300):
        found.add(httpx.get(f"{url}/dev/pid").text)
        if len(found) == expected:
            return found
    return found


def test_four_workers_enforce_each_limit_exactly(serve, gateway_text):
    server = serve(gateway_text(limit=100), "--workers", "4")
    assert len(workers_of(server.url, 4)) == 4
    statuses = ask(server.url, 180)
    assert (statuses.count(200), statuses.count(429)) == (100, 80)
    status = httpx.get(f"{server.url}/_gateway/status.json").json()
    route = next(
        r for stage in status["stages"] if stage["stage"] == "dev" for r in stage["routes"] if r["key"] == "GET /pets"
    )
    assert (route["admitted"], route["quota_exceeded"]) == (100, 80)
    usage = httpx.get(f"{server.url}/_gateway/usage?plan=gold").json()
    assert list(usage["values"]["ann"].values())[-1] == [100, 0]


def test_tables_are_removed_with_the_gateway(serve, gateway_text):
    """Tables that the gateway created without a name end with it."""
    server = serve(gateway_text(), "--workers", "2")
    own = f"gateway-{server.process.pid}-"
    assert any(name.startswith(own) for name in Table.names())
    server.stop()
    assert not any(name.startswith(own) for name in Table.names())


@pytest.mark.parametrize("kind", ["file", "shared"])
def test_restart_keeps_quotas(serve, gateway_text, tmp_path, kind):
    tables = f"file:{tmp_path}/tables" if kind == "file" else f"shared:gateway-test-{os.getpid()}"
    text = gateway_text(tables, limit=10)
    server = serve(text)
    assert ask(server.url, 4, clients=1) == [200] * 4
    server.process.kill()
    server.process.wait()
    again = serve(text)
    assert ask(again.url, 8, clients=1) == [200] * 6 + [429] * 2


def test_killed_worker_is_replaced_and_keeps_counts(serve, gateway_text):
    server = serve(gateway_text(limit=20), "--workers", "2")
    assert ask(server.url, 12).count(200) == 12
    victim = workers_of(server.url, 2).pop()
    os.kill(int(victim), signal.SIGKILL)
    server.wait_for("died")
    server.wait_for("startup complete", 3)
    assert ask(server.url, 12).count(200) == 8


def reload(server, text, how):
    before = server.log.read_text().count("reloaded")
    server.file.write_text(text)
    if how == "SIGHUP":
        os.kill(server.process.pid, signal.SIGHUP)
    return before


@pytest.mark.parametrize(("how", "options"), [("SIGHUP", ["--no-watch"]), ("change", [])])
def test_reload_keeps_counts_under_new_limits(serve, gateway_text, how, options):
    """Spent requests count against the new burst and the new quota."""
    server = serve(gateway_text(limit=10), *options)
    assert ask(server.url, 12, clients=1).count(200) == 10
    reload(server, gateway_text(limit=15), how)
    server.wait_for("reloaded")
    assert ask(server.url, 8, clients=1) == [200] * 5 + [429] * 3


def test_reload_reaches_four_workers(serve, gateway_text):
    server = serve(gateway_text(limit=10), "--workers", "4", "--no-watch")
    ask(server.url, 12)
    reload(server, gateway_text(limit=30), "SIGHUP")
    server.wait_for("reloaded", 4)
    assert ask(server.url, 36).count(200) == 20
    assert "died" not in server.log.read_text()


def test_reload_drops_no_request(serve, gateway_text):
    """All requests on persistent connections are answered, by the old or the new configuration."""
    texts = [gateway_text(limit=100_000, burst=n) for n in (1, 2)]
    server = serve(texts[0])

    async def run():
        async def one():
            async with httpx.AsyncClient(headers={"x-api-key": KEY}, timeout=PATIENCE) as client:
                return [(await client.get(f"{server.url}/dev/pets")).status_code for _ in range(60)]

        async def change():
            for i in range(8):
                reload(server, texts[i % 2], "SIGHUP")
                await pace_async(0.05)

        return (await asyncio.gather(one(), one(), one(), change()))[:3]

    assert set(itertools.chain.from_iterable(asyncio.run(run()))) == {200}
    server.wait_for("reloaded")


def test_wrong_file_changes_nothing(serve, gateway_text):
    """The log has the reason with its line, for a wrong value and for values that contradict each other."""
    server = serve(gateway_text())
    text = gateway_text().replace("rate: 0.001", "rate: fast")
    server.file.write_text(text)
    line = next(i + 1 for i, one in enumerate(text.splitlines()) if "fast" in one)
    server.wait_for(f"not reloaded: {server.file}:{line}: ")
    assert "route_throttles['GET /pets'].rate: expected a number, got 'fast'" in server.log.read_text()
    server.file.write_text("responses: {TEAPOT: {}}\n" + gateway_text())
    server.wait_for(f"not reloaded: {server.file}:1: responses.TEAPOT: unknown gateway response 'TEAPOT'")
    assert ask(server.url, 1, clients=1) == [200]


def test_function_that_cannot_be_loaded_does_not_end_watching(serve, gateway_text, tmp_path):
    """Its module may fail in any way; the next change of the file is still applied."""
    (tmp_path / "half_written.py").write_text("def f(event:\n")
    server = serve(gateway_text())
    function = "apis: {a: {routes: {GET /: {function: 'half_written:f'}}, stages: {$default: {}}}}"
    server.file.write_text(function)
    server.wait_for(
        f"not reloaded: {server.file}:1: apis.a.routes['GET /']: function 'half_written:f' cannot be loaded"
    )
    (tmp_path / "half_written.py").write_text("def f(event): return 'whole'\n")
    server.file.write_text(function + "\n")
    server.wait_for("reloaded " + str(server.file))
    assert httpx.get(server.url).text == "whole"


def test_log_and_max_head_are_reloaded(serve, tmp_path):
    """A request that began before writes its line to the old log."""
    (tmp_path / "late.py").write_text(
        "import asyncio, pathlib\n"
        "async def late(event):\n"
        "    here = pathlib.Path(__file__).parent\n"
        "    (here / 'begun').touch()\n"
        "    while not (here / 'go').exists(): await asyncio.sleep(0.02)\n"
    )
    text = """
access_log: {{file: {log}, format: $context.path}}
max_head: {head}
apis: {{a: {{routes: {{GET /late: {{function: "late:late"}}, GET /: {{mock: {{}}}}}}, stages: {{$default: {{}}}}}}}}
"""
    server = serve(text.format(log=tmp_path / "one", head=9_000), "--no-watch")
    late = threading.Thread(target=httpx.get, args=(f"{server.url}/late",))
    late.start()
    until((tmp_path / "begun").exists)
    assert httpx.get(server.url, headers={"x": "x" * 3_000}).status_code == 200
    reload(server, text.format(log=tmp_path / "two", head=1_000), "SIGHUP")
    server.wait_for("reloaded")
    assert httpx.get(server.url, headers={"x": "x" * 3_000}).status_code == 431
    assert httpx.get(server.url).status_code == 200
    (tmp_path / "go").touch()
    late.join()
    assert server.lines(tmp_path / "one", 2) == ["/", "/late"]
    assert server.lines(tmp_path / "two", 2) == ["/", "/"]  # the request that was refused has a line, too


def test_backends_are_kept_over_a_reload(serve, backend, tmp_path):
    """A download in progress continues to its end, even if its backend is no longer in the file."""

    reloaded = threading.Event()

    async def slow(head, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000)
        await until_async(reloaded.is_set)
        writer.write(b"x" * 100_000)
        await writer.drain()

    behind = backend(slow)
    text = "apis: {{a: {{routes: {{$default: {{proxy: '{url}'}}}}, stages: {{$default: {{}}}}}}}}"
    server = serve(text.format(url=behind.url))
    with httpx.stream("GET", server.url, timeout=PATIENCE) as answer:
        pieces = answer.iter_raw()
        size = len(next(pieces))
        server.file.write_text(text.format(url="http://127.0.0.1:1"))
        server.wait_for("reloaded")
        reloaded.set()
        size += sum(map(len, pieces))
    assert size == 200_000
    assert httpx.get(server.url).status_code == 504


def test_serves_tls(serve, gateway_text, certificate):
    """The options are those of uvicorn."""
    key, certificate = certificate
    server = serve(gateway_text(), "--ssl-keyfile", key, "--ssl-certfile", certificate, port=free_port())
    import ssl

    context = ssl.create_default_context(cafile=certificate)
    answer = httpx.get(f"https://127.0.0.1:{server.port}/dev/pets", headers={"x-api-key": KEY}, verify=context)
    assert answer.status_code == 200
