"""`ratelimit serve` and the proxies that ask it, for the length of a test."""

import http.server
import os
import re
import subprocess
import sys
import threading

import pytest
from ports import free_port, until_open
from servers import PACKAGE, Server
from tools import program
from waiting import PATIENCE

EXAMPLES = PACKAGE / "examples" / "serve"


class Processes:
    """Programs that are stopped after the test."""

    def __init__(self, folder):
        self.folder = folder
        self.running = []

    def start(self, command, port, **options):
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            **options,
        )
        self.running.append(process)
        until_open(port, process)
        return process

    def stop(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.communicate(timeout=PATIENCE)


@pytest.fixture
def processes(tmp_path):
    found = Processes(tmp_path)
    yield found
    found.stop()


@pytest.fixture
def service(processes, tmp_path):
    """Return a function that starts `ratelimit serve` with the text of a file."""

    def start(text, *options, grpc=None):
        port = free_port()
        options = [*options, *(["--grpc", f"127.0.0.1:{grpc}"] if grpc else [])]
        (tmp_path / "limits.yaml").write_text(text)
        command = [sys.executable, "-m", "ratelimit", "serve", "limits.yaml", "--http", f"127.0.0.1:{port}", *options]
        server = Server(port)
        server.file = tmp_path / "limits.yaml"
        server.process = processes.start(command, port, env=os.environ | {"PYTHONPATH": str(PACKAGE)})
        return server

    return start


@pytest.fixture
def app():
    """Return the port of an application that answers everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


COMMANDS = {
    "nginx.conf": [
        "nginx",
        "-p",
        "{folder}",
        "-g",
        "daemon off; {user} pid {folder}/pid; error_log {folder}/log;",
        "-c",
    ],
    "haproxy.cfg": ["haproxy", "-db", "-f"],
    "Caddyfile": ["caddy", "run", "--adapter", "caddyfile", "--config"],
    "envoy-http.yaml": ["envoy", "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id", "-c"],
    "envoy-grpc.yaml": ["envoy", "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id", "-c"],
}


@pytest.fixture
def proxy(processes, app, tmp_path):
    """Return a function that starts a proxy with a configuration of the documentation, in front of an application.

    It asks a service at the given ports, in place of those in the file.
    """

    def start(file, **ports):
        port = free_port()
        names = {"8080": port, "8000": app, **{name.removeprefix("port_"): number for name, number in ports.items()}}
        for name in (file, "limits.lua"):
            text = re.sub(
                r"\b(8080|8000|9090|9091)\b",
                lambda found: str(names.get(found[0], found[0])),
                (EXAMPLES / name).read_text(),
            )
            text = text.replace("timeout: 1s", "timeout: 60s").replace(
                "timeout = 1000", "timeout = 60000"
            )  # a busy machine
            (tmp_path / name).write_text(text)
        user = "user root;" if os.geteuid() == 0 else ""
        name, *options = [word.format(folder=tmp_path, user=user) for word in COMMANDS[file]]
        found = os.path.join(os.path.dirname(sys.executable), name)
        command = found if os.path.exists(found) else program(name)
        environment = os.environ | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
        processes.start([command, *options, tmp_path / file], port, env=environment)
        return Server(port)

    return start
