"""Microseconds for each request within the application, without a server and without a network.

    python benchmarks/gateway/in_process.py [NAME ...]

The names are functions of apps.py. Each figure is the least of many short runs, interleaved: what a busy machine
adds is left out. "bare" is what uvicorn's two messages cost by themselves.
"""

import asyncio
import sys
import time

import apps

PATHS = {"routes_10": "/r7/pets/1", "routes_1000": "/r7/pets/1"}
REQUESTS, ROUNDS = 200, 150


def scope_of(path):
    return {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [(b"host", b"127.0.0.1")],
        "client": ("127.0.0.1", 1234), "server": ("127.0.0.1", 80),
    }  # fmt: skip


async def receive():
    return {"type": "http.request", "body": b""}


async def send(message):
    """Stand in for the network."""


async def once(app, path):
    scopes = [scope_of(path) for _ in range(REQUESTS)]
    began = time.perf_counter()
    for scope in scopes:
        await app(scope, receive, send)
    return (time.perf_counter() - began) / REQUESTS * 1e6


async def measure(names):
    made = {name: getattr(apps, name)() for name in names}
    best = dict.fromkeys(names, float("inf"))
    for _ in range(ROUNDS):
        for name, app in made.items():
            best[name] = min(best[name], await once(app, PATHS.get(name, "/pets")))
    for name, microseconds in best.items():
        print(f"{name:12} {microseconds:6.2f}")


if __name__ == "__main__":
    asyncio.run(
        measure(sys.argv[1:] or ["bare", "mock", "by_client", "refusing", "routes_10", "routes_1000", "limits"])
    )
