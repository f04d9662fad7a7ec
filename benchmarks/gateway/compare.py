"""The gateway beside a bare ASGI application, other limiters and a bare proxy: the same uvicorn, wrk on loopback.

    python benchmarks/gateway/compare.py [--seconds 2] [--rounds 9] [--overload SECONDS] [--markdown FILE]

It needs wrk and nginx, and the dependency group `bench`. `python docs/benchmark_pictures.py` then draws the picture.
"""

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import apps
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from load import drive

from ratelimit.bench.report import Report, Section, Table, Target, machine, to_markdown, to_text

HERE = Path(__file__).parent
PREFACE = """<!-- Written by benchmarks/gateway/compare.py: do not edit. -->

# Benchmarks of the gateway

One command measured every number on this page and wrote the page:

```sh
{command}
```

The same uvicorn serves each application (one of them as `ratelimit gateway` does, with bounds for heads and slow \
clients), and wrk sends requests from the same machine over 32 connections. The applications take turns within each \
round, there and back. Each runs in a new process, because one process of a program may be a tenth faster than another \
one. Figures are medians over the rounds, and ratios are medians of ratios within one round. A ratio is that of \
requests for each second of the server's processor time, which other processes on the machine disturb less; the one in \
brackets is that of requests a second. For an API with CORS, tokens and a limit for each client it is the other way \
round."""
ON_TARGETS = (
    "The bare applications send the bytes that the gateway sends and do nothing else. uvicorn starts a task for each "
    "of their requests, and sends an answer in two pieces. The gateway's command starts no task for a request that it "
    "answers by itself, and sends one piece, so it may need less time than a bare application. A refusal has two more "
    "header fields than an answer, `Retry-After` and `x-amzn-errortype`. Each piece of an answer wakes the client if "
    "it waits, which costs the server some microseconds in a virtual machine."
)
# The measured application, the one that it is compared with, and the least ratio of their requests a second of
# processor time, or by the clock.
TARGETS = [
    ("mock, all levels", "bare ASGI", 0.85),
    ("mock, by the command", "bare ASGI", 0.85),
    ("mock, all levels", "FastAPI + slowapi", 2.0),
    ("mock, all levels", "Starlette + limits", 1.5),
    ("proxy to nginx", "bare httpx proxy", 0.85),
    ("refusing (429)", "mock, all levels", 0.95),
    ("refusing, by the command", "mock, by the command", 0.95),
    ("CORS, token and client", "mock, by the command", 0.8),
]
BY_CLOCK = {"CORS, token and client"}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(port, process):
    for _ in range(1_200):
        if process.poll() is not None:
            sys.exit(f"a server ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    sys.exit("a server does not listen")


class Servers:
    """uvicorn with one of the applications of apps.py each, and an nginx."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        self.token = make_token(folder)
        self.nginx_port = free_port()
        (folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;\n"
            "events { worker_connections 1024; }\n"
            f"http {{ access_log off; keepalive_requests 1000000; server {{ listen 127.0.0.1:{self.nginx_port}; "
            'location / { return 200 "pets"; } } }\n'
        )
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        command = [nginx, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"]
        self.start(command, self.nginx_port)

    def start(self, command, port, **environment):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **environment})
        self.processes.append(process)
        wait_for(port, process)
        return process

    def app(self, name):
        """Start one application, or the gateway's own command with a file; return its port and process."""
        port = free_port()
        options = ["--no-access-log", "--no-proxy-headers", "--log-level", "error"]
        command = ["uvicorn", "--app-dir", str(HERE), f"apps:{name}", "--factory", *options]
        if name.endswith(".yaml"):
            command = ["ratelimit", "gateway", shutil.copy(HERE / name, self.folder)]
        command = [sys.executable, "-m", *command, "--port", str(port)]
        return port, self.start(command, port, NGINX=str(self.nginx_port))

    def end(self, process):
        self.processes.remove(process)
        process.terminate()
        process.wait(10)

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)


def make_token(folder):
    """Write the keys of an issuer, and return a token of it."""
    key = rsa.generate_private_key(65_537, 2_048)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    (folder / "keys.json").write_text(json.dumps({"keys": [{**public, "kid": "one"}]}))
    claims = {"iss": "https://issuer.example", "sub": "client", "exp": 2**32}
    return jwt.encode(claims, key, "RS256", {"kid": "one"})


def wrk(port, seconds, path="/pets", headers=()):
    """Run wrk; return the requests a second, and how many were refused."""
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}{path}"]
    command += [f"-H{header}" for header in headers]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    total = int(re.search(r"(\d+) requests in", out)[1])
    per_second = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    return per_second, int(refused[1]) if refused else 0, total


APPS = {
    "bare ASGI": ("bare", "/pets"),
    "mock, all levels": ("mock", "/pets"),
    "mock, by the command": ("mock.yaml", "/pets"),
    "CORS, token and client": ("secured.yaml", "/pets"),
    "refusing (429)": ("refusing", "/pets"),
    "refusing, by the command": ("refusing.yaml", "/pets"),
    "bare ASGI, refusing": ("bare_refusing", "/pets"),
    "FastAPI + slowapi": ("slowapi", "/pets"),
    "Starlette + limits": ("limits", "/pets"),
    "proxy to nginx": ("proxy", "/pets"),
    "bare httpx proxy": ("httpx_proxy", "/pets"),
    "10 routes": ("routes_10", "/r7/pets/1"),
    "1,000 routes": ("routes_1000", "/r7/pets/1"),
}


def compare(servers, rounds, seconds):
    """By name: requests a second in each round, and requests a second of processor time."""
    figures, by_processor = {name: [] for name in APPS}, {name: [] for name in APPS}
    for number in range(rounds):
        turn = 1 if number % 2 else -1  # back and forth, so that neither gains when the machine slows down
        for name, (app, path) in list(APPS.items())[::turn]:
            port, process = servers.app(app)
            secured = "Origin: https://page.example", f"Authorization: Bearer {servers.token}"
            headers = secured if "token" in name else ()
            wrk(port, 1, path, headers)  # warm up
            before = processor_seconds(process)
            per_second, refused, total = wrk(port, seconds, path, headers)
            if (refused == total) != ("refusing" in name):
                sys.exit(f"{name}: expected all requests refused or none, got {refused} of {total}")
            figures[name].append(per_second)
            by_processor[name].append(total / (processor_seconds(process) - before))
            servers.end(process)
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return figures, by_processor


def processor_seconds(process):
    """Return the processor time of a process, in user and kernel mode."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ratio(figures, one, other):
    return statistics.median(a / b for a, b in zip(figures[one], figures[other], strict=True))


def section(figures, by_processor):
    """Return the targets, and the requests a second of each application."""

    def target(what, one, other, bound, unit, at_least):
        worked, took = ratio(by_processor, one, other), ratio(figures, one, other)
        if one in BY_CLOCK:
            return Target(what, bound, took, unit, at_least, f"{worked:.3f} by processor time")
        return Target(what, bound, worked, unit, at_least, f"{took:.3f} by the clock")

    targets = [target(one, one, other, bound, f"x {other}", True) for one, other, bound in TARGETS]
    targets.append(target("time with 1,000 routes", "10 routes", "1,000 routes", 1.1, "x that with 10", False))
    rows = [[name, statistics.median(all), statistics.median(by_processor[name])] for name, all in figures.items()]
    table = Table("By application", ["", "a second", "a second of processor time"], rows)
    text = (
        "Each application has one route unless its name has another number, and gives the same answer. Blue is the "
        "gateway, green a bare application, and grey other limiters and another proxy.\n\n"
        "![Requests a second of each application, as in the table below](pictures/bench-gateway.svg)"
    )
    return Section("Requests a second", text, [table], targets)


def memory(process):
    """Resident bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024


def overload(servers, seconds):
    """Send 5 times the limit: compare admitted requests with the promise, and latency with that at half the limit."""
    port, process = servers.app("limited")
    half = drive(port, apps.RATE / 2, min(30, seconds / 4))
    time.sleep(apps.BURST / apps.RATE + 1)  # until the bucket is full again
    start = memory(process)
    full = drive(port, apps.RATE * 5, seconds, lambda: memory(process))
    least, most = (apps.BURST + int(span * apps.RATE) for span in full["span"])
    admitted, samples = full["admitted"], full["samples"]
    growth = (samples[-1] - samples[len(samples) // 4]) / 1e6
    rows = [
        ["requests sent", full["sent"]],
        ["requests promised, at least", least],
        ["requests promised, at most", most],
        ["requests admitted", admitted],
        ["p99 of the admitted, ms", full["p99"] * 1e3],
        ["p99 at half the limit, ms", half["p99"] * 1e3],
        ["memory at the start, MB", start / 1e6],
        ["memory at the end, MB", samples[-1] / 1e6],
    ]
    beside = max(least - admitted, admitted - most, 0)
    return Section(
        "Overload",
        f"{seconds:,.0f} seconds at 5 times a limit of {apps.RATE} requests a second with a bucket of {apps.BURST}, "
        "at a steady rate. The promise is the bucket and its refill between the first decision and the last; each "
        "decision is made between a request and its answer.",
        [Table("Result", ["", ""], rows)],
        [
            Target("admitted at 5 x the limit", 0, beside, "requests beside the promise"),
            Target("memory gained after the first quarter", 0.1, growth, "MB"),
            Target("p99 of the admitted", 3, full["p99"] / half["p99"], "x that at half the limit"),
        ],
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2, help="duration of each run of wrk")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--overload", type=float, default=0, help="also overload the gateway for so many seconds")
    parser.add_argument("--markdown", type=Path, help="write the page docs/gateway-benchmarks.md")
    given = parser.parse_args()
    report = Report(shlex.join(["python", *sys.argv]), machine(), [])
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        servers = Servers(Path(folder))
        try:
            if given.rounds:
                report.sections.append(section(*compare(servers, given.rounds, given.seconds)))
            if given.overload:
                report.sections.append(overload(servers, given.overload))
        finally:
            servers.stop()
    print(to_text(report))
    if given.markdown:
        given.markdown.write_text(to_markdown(report, PREFACE, ON_TARGETS))


if __name__ == "__main__":
    main()
