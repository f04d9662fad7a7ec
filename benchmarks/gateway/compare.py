"""The gateway beside a bare ASGI application, other limiters and a bare proxy: the same uvicorn, wrk on loopback.

    python benchmarks/gateway/compare.py [--seconds 4] [--rounds 5] [--json FILE] [--overload SECONDS]

The servers run one after another within each round, interleaved, and each figure is a median over the rounds;
ratios are of figures of the same round. Beside requests a second stand requests for each second of the server's
processor time, which what else runs on the machine disturbs less. It needs wrk and nginx, slowapi, limits and httpx.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
# name -> what it is compared with, and the least (or most) ratio that is wanted
TARGETS = [
    ("mock, all levels", "bare ASGI", "at least", 0.80),
    ("mock, all levels", "FastAPI + slowapi", "at least", 2.0),
    ("mock, all levels", "Starlette + limits", "at least", 1.5),
    ("proxy to nginx", "bare httpx proxy", "at least", 0.85),
    ("refusing (429)", "mock, all levels", "at least", 1.0),
]


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
        """The port and the process of one application."""
        port = free_port()
        options = ["--port", str(port), "--no-access-log", "--no-proxy-headers", "--log-level", "error"]
        command = [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), f"apps:{name}", "--factory", *options]
        return port, self.start(command, port, NGINX=str(self.nginx_port))

    def stop(self):
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)


def wrk(port, seconds, path="/pets", connections=32, rate_file=None):
    """Requests a second, and how many were refused."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}{path}"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    total = int(re.search(r"(\d+) requests in", out)[1])
    per_second = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])
    return per_second, int(refused[1]) if refused else 0, total


APPS = {
    "bare ASGI": ("bare", "/pets"),
    "mock, all levels": ("mock", "/pets"),
    "refusing (429)": ("refusing", "/pets"),
    "FastAPI + slowapi": ("slowapi", "/pets"),
    "Starlette + limits": ("limits", "/pets"),
    "proxy to nginx": ("proxy", "/pets"),
    "bare httpx proxy": ("httpx_proxy", "/pets"),
    "10 routes": ("routes_10", "/r7/pets/1"),
    "1,000 routes": ("routes_1000", "/r7/pets/1"),
}


def compare(servers, rounds, seconds):
    """By name: requests a second in each round, and requests a second of processor time."""
    running = {name: (*servers.app(app), path) for name, (app, path) in APPS.items()}
    figures, by_processor = {name: [] for name in APPS}, {name: [] for name in APPS}
    for port, _, path in running.values():
        wrk(port, 1, path)  # warm up
    for number in range(rounds):
        for name, (port, process, path) in running.items():
            before = processor_seconds(process)
            per_second, refused, total = wrk(port, seconds, path)
            if (refused == total) != (name == "refusing (429)"):
                sys.exit(f"{name}: {refused} of {total} were refused")
            figures[name].append(per_second)
            by_processor[name].append(total / (processor_seconds(process) - before))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    return figures, by_processor


def processor_seconds(process):
    """What a process has used of the processor, in user and kernel mode."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ratio(figures, one, other):
    return statistics.median(a / b for a, b in zip(figures[one], figures[other], strict=True))


def rows(figures, by_processor):
    """What was wanted beside what was measured."""
    compared = [(f"{one} / {other}", one, other, f"{kind} {target}") for one, other, kind, target in TARGETS]
    compared.append(("time with 1,000 routes / 10 routes", "10 routes", "1,000 routes", "at most 1.1"))
    return [
        {
            "what": what,
            "target": target,
            "measured": round(ratio(figures, one, other), 3),
            "by processor time": round(ratio(by_processor, one, other), 3),
        }
        for what, one, other, target in compared
    ]


def memory(process):
    """Resident bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024


def overload(servers, seconds):
    """5 times the limit for so long: admitted beside the promise, memory, and latency beside half the limit."""
    sys.path.insert(0, str(HERE))
    import apps
    from load import drive

    port, process = servers.app("limited")
    half = drive(port, apps.RATE / 2, min(30, seconds / 4))
    time.sleep(apps.BURST / apps.RATE + 1)  # until the bucket is full again
    start = memory(process)
    full = drive(port, apps.RATE * 5, seconds, lambda: memory(process))
    least, most = (apps.BURST + int(span * apps.RATE) for span in full["span"])
    growth = full["samples"][-1] - full["samples"][len(full["samples"]) // 4]
    return [
        {"what": f"offered in {seconds:.0f} s", "target": f"{apps.RATE * 5}/s", "measured": full["sent"]},
        {
            "what": "admitted at 5 x the limit",
            "target": f"exactly {least:,}" if least == most else f"from {least:,} to {most:,}",
            "measured": full["admitted"],
        },
        {"what": "memory growth in bytes after the first quarter", "target": "0", "measured": growth},
        {
            "what": "p99 of admitted / p99 at half load",
            "target": "at most 3",
            "measured": round(full["p99"] / half["p99"], 2),
        },
        {"what": "memory at the start", "target": "", "measured": start},
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="of each run of wrk")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--overload", type=float, default=0, help="also overload the gateway for so many seconds")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        servers = Servers(Path(folder))
        try:
            figures, by_processor = compare(servers, given.rounds, given.seconds) if given.rounds else ({}, {})
            table = rows(figures, by_processor) if figures else []
            table += overload(servers, given.overload) if given.overload else []
        finally:
            servers.stop()
    for name, values in figures.items():
        processor = statistics.median(by_processor[name])
        print(f"{name:20} {statistics.median(values):10,.0f} requests/s {processor:10,.0f} a second of processor time")
    print(f"\n{'what':50} {'target':28} measured   by processor time")
    for row in table:
        print(f"{row['what']:50} {row['target']:28} {row['measured']:<10,} {row.get('by processor time', '')}")
    if given.json:
        given.json.write_text(json.dumps({"requests per second": figures, "rows": table}, indent=2) + "\n")


if __name__ == "__main__":
    main()
