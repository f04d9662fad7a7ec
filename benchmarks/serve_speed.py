"""`ratelimit serve` beside a bare answerer of the same bytes, asked directly and by nginx: requests a second, and the
processor time of a request.

    python benchmarks/serve_speed.py [--rounds 7] [--seconds 1]

The servers take turns under the same load of wrk, in many short runs; each figure is the median. It needs the packages
wrk and nginx, and uvloop.
"""

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = r"""
import asyncio
import sys
import uvloop
ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nratelimit-policy: "1000000000/second";q=1000000000;w=1\r\n'
    b'ratelimit: "1000000000/second";r=999999999;t=1\r\nDate: Sun, 29 Nov 2026 07:18:26 GMT\r\n\r\n'
)
class Bare(asyncio.Protocol):
    def connection_made(self, transport):
        self.write = transport.write
    def data_received(self, data):
        self.write(ANSWER)
async def main():
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
uvloop.run(main())
"""
NGINX = """
daemon off; {user} worker_processes 1; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 512; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream serve {{ server 127.0.0.1:{serve}; keepalive 32; keepalive_requests 100000000; }}
  upstream bare {{ server 127.0.0.1:{bare}; keepalive 32; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location /alone {{ alias {folder}/page; }}
    location /serve {{ auth_request /ask/serve; alias {folder}/page; }}
    location /bare {{ auth_request /ask/bare; alias {folder}/page; }}
    location = /ask/serve {{ internal; proxy_pass http://serve/auth_request/api; {question} }}
    location = /ask/bare {{ internal; proxy_pass http://bare/auth_request/api; {question} }}
  }}
}}
"""
QUESTION = (
    'proxy_http_version 1.1; proxy_pass_request_body off; proxy_set_header Content-Length ""; '
    'proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $remote_addr;'
)
HEADERS = [
    "X-Forwarded-For: 203.0.113.77",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9",
    "Accept-Language: en-US,en;q=0.5",
    "Cookie: session=abcdefghijklmnopqrstuvwxyz0123456789",
]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(command: list[str], port: int, running: list[subprocess.Popen[bytes]]) -> int:
    """Start a server, wait until it listens, and return its process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    running.append(process)
    while True:
        with socket.socket() as client:
            if not client.connect_ex(("127.0.0.1", port)):
                return process.pid
        if process.poll() is not None:
            sys.exit(f"{command[0]} ended with {process.returncode}")
        time.sleep(0.05)


def load(url: str, seconds: int) -> tuple[float, int]:
    """Return the requests a second of one run, and how many there were."""
    headers = [word for header in HEADERS for word in ("-H", header)]
    printed = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds}s", *headers, url], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in printed:
        sys.exit(printed)
    number, rate = re.search(r"(\d+) requests in", printed), re.search(r"Requests/sec:\s+([\d.]+)", printed)
    assert number is not None
    assert rate is not None
    return float(rate[1]), int(number[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=1, help="of one run")
    given = parser.parse_args()
    serve, bare, port = free_port(), free_port(), free_port()
    urls = {
        "bare": f"http://127.0.0.1:{bare}/check/api",
        "serve": f"http://127.0.0.1:{serve}/check/api",
        "nginx alone": f"http://127.0.0.1:{port}/alone",
        "nginx and bare": f"http://127.0.0.1:{port}/bare",
        "nginx and serve": f"http://127.0.0.1:{port}/serve",
    }
    figures: dict[str, list[float]] = {name: [] for name in urls}
    costs: dict[str, list[float]] = {"bare": [], "serve": []}
    os.environ["PATH"] += ":/usr/sbin"
    running: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "limits.yaml").write_text("limits: {api: 1000000000/second}")
        Path(folder, "page").write_text("hello\n")
        user = "user root;" if os.geteuid() == 0 else ""
        text = NGINX.format(folder=folder, serve=serve, bare=bare, port=port, question=QUESTION, user=user)
        Path(folder, "nginx.conf").write_text(text)
        command = ["-m", "ratelimit", "serve", f"{folder}/limits.yaml", "--http", f"127.0.0.1:{serve}"]
        try:
            processes = {"bare": start([sys.executable, "-c", BARE, str(bare)], bare, running)}
            processes["serve"] = start([sys.executable, *command], serve, running)
            start(["nginx", "-p", folder, "-c", f"{folder}/nginx.conf"], port, running)
            for _ in range(given.rounds):
                for name, url in urls.items():
                    process = processes["serve" if name.endswith("serve") else "bare"]
                    began = processor_seconds(process)
                    rate, number = load(url, given.seconds)
                    figures[name].append(rate)
                    if name in costs:
                        costs[name].append((processor_seconds(process) - began) / number * 1e6)
        finally:
            for process in running:
                process.terminate()
            for process in running:
                process.wait()
    for name, found in figures.items():
        base = figures["nginx alone" if name.startswith("nginx") else "bare"]
        ratio = statistics.median(one / other for one, other in zip(found, base, strict=True))
        print(f"{name:16} {statistics.median(found):9,.0f}/s   {ratio:.2f}")
    bare_us, serve_us = (statistics.median(costs[name]) for name in ("bare", "serve"))
    print(f"processor        bare {bare_us:.2f} us, serve {serve_us:.2f} us   {bare_us / serve_us:.2f}")


if __name__ == "__main__":
    main()
