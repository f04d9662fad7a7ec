"""The example gateway at work: real requests over loopback, what was admitted and refused, and its log replayed.

python examples/gateway/demo.py [--keep]
"""

import argparse
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

from websockets.sync.client import connect

HERE = Path(__file__).parent
ANN, BEN = ("ann0000000000000000000000", "ben0000000000000000000000")
TOLD = ("ratelimit-policy", "ratelimit", "retry-after", "x-amzn-errortype", "x-upgrade")


class Backend(BaseHTTPRequestHandler):
    """The backend of the gateway."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = json.dumps({"path": self.path, "stage": self.headers["x-stage"]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Say nothing."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="go on serving, to look at the status page")
    keep = parser.parse_args().keep
    backend = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, gateway(Path(folder), backend.server_port) as port:
        print(f"The example gateway listens at http://127.0.0.1:{port}; its status page is at /_gateway.")
        show(port)
        replay(Path(folder) / "access.log")
        if keep:
            print(f"\nhttp://127.0.0.1:{port}/_gateway until you press Ctrl-C.")
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    time.sleep(1)


@contextlib.contextmanager
def gateway(folder, backend):
    """Run the gateway in a separate process; yield its port."""
    text = (HERE / "gateway.yaml").read_text().replace('"8081"', f'"{backend}"')
    (folder / "gateway.yaml").write_text(text.replace("access.log", str(folder / "access.log")))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = os.pathsep.join([str(HERE), *filter(None, sys.path)])  # where shop.py is
    command = [sys.executable, "-m", "ratelimit", "gateway", str(folder / "gateway.yaml"), "--port", str(port)]
    with (folder / "gateway.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": path})
    try:
        wait_for(port, process, folder / "gateway.log")
        yield port
    finally:
        process.terminate()
        process.wait(60)


def wait_for(port, process, log):
    for _ in range(1_200):
        if process.poll() is not None:
            sys.exit(f"The gateway did not start:\n{log.read_text()}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    sys.exit("The gateway does not listen.")


def ask(port, method, path, body=None, **headers):
    """Send a request; return the status, the headers and the body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


def tell(title, answers):
    """Print the answers to some requests, each kind once and in full."""
    print(f"\n{title}")
    print("  " + ", ".join(f"{many} x {status}" for status, many in Counter(one[0] for one in answers).items()))
    for status in dict.fromkeys(one[0] for one in answers):
        _, headers, text = next(one for one in answers if one[0] == status)
        print(f"  {status} {text}")
        for name in TOLD:
            if name in headers:
                print(f"      {name}: {headers[name]}")


def show(port):
    def get(path, many, **headers):
        return [ask(port, "GET", path, **headers) for _ in range(many)]

    tell("A route with a burst of 3: GET /prod/pets/7, five times", get("/prod/pets/7", 5))

    answers = get("/prod/pets", 24)
    sides = Counter(json.loads(text)["served by"] for status, _, text in answers if status == 200)
    print(
        f"\nA canary for a quarter of the traffic: GET /prod/pets, 24 times\n  served by {dict(sorted(sides.items()))}"
    )

    tell("A stage in shadow mode refuses nothing: GET /dev/pets, four times", get("/dev/pets", 4))
    tell("Two backends in one answer: GET /dev/overview", get("/dev/overview", 1))
    tell("Passed on to a backend: GET /dev/backend/a/b?c=d", get("/dev/backend/a/b?c=d", 1))

    tell("A REST API without a key", get("/orders-api/orders", 1))
    tell("Ann's plan has 6 a day", get("/orders-api/orders", 8, x_api_key=ANN))
    orders = [ask(port, "POST", "/orders-api/orders", '{"pet": 7}', x_api_key=BEN) for _ in range(3)]
    tell("Ben has his own 6, and 2 orders at once", orders)
    _, _, usage = ask(port, "GET", "/_gateway/usage?plan=basic")
    used = {key: list(days.values())[-1] for key, days in json.loads(usage)["values"].items()}
    print(f"\nUsage today, as [used, remaining]: {used}")
    order = json.dumps({"plan": "basic", "key": "ann", "remaining": 1})
    ask(port, "POST", "/_gateway/usage", order, content_type="application/json")
    tell("The operator grants Ann one more", get("/orders-api/orders", 2, x_api_key=ANN))

    print("\nA WebSocket with 2 messages at once")
    with connect(f"ws://127.0.0.1:{port}/chat") as chat:
        for text in ("hello", "are you there", "still?"):
            chat.send(json.dumps({"action": "say", "text": text}))
            print(f"  {text!r}: {chat.recv(timeout=60)}")

    tell("Paths that could be read in two ways", get("/prod/..%2fdev/pets", 1))


def replay(log):
    """Show the effect of other limits on the same traffic."""
    lines = log.read_text().splitlines()
    print(f"\nThe access log has {len(lines)} lines, such as\n  {lines[0]}")
    if find_spec("ratelimit.replay") is None:
        return
    print("\nReplayed at 10 a minute for each client:", flush=True)
    command = ["-m", "ratelimit", "replay", str(log), "--limit", "token-bucket 10/minute", "--key", "client"]
    subprocess.run([sys.executable, *command], check=True)


if __name__ == "__main__":
    main()
