"""Real servers for the tests, each at a free port of the loopback interface."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
from ports import free_port, until_open
from waiting import PATIENCE, until

from ratelimit.gateway import Gateway

KEY = "k" * 24


class Server:
    """`ratelimit gateway FILE` in a process of its own."""

    def __init__(self, folder, text, *options, suffix=".yaml", port=None):
        self.port = port or free_port()
        self.file = Path(folder) / f"gateway-{self.port}{suffix}"
        self.file.write_text(text)
        self.log = Path(folder) / f"gateway-{self.port}.log"
        command = [sys.executable, "-m", "ratelimit", "gateway", str(self.file), "--port", str(self.port), *options]
        with self.log.open("ab") as out:
            # Functions of a configuration are looked up beside it.
            path = os.pathsep.join([str(folder), *sys.path])
            environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        self.url = f"http://127.0.0.1:{self.port}"
        workers = int(options[options.index("--workers") + 1]) if "--workers" in options else 1

        def started():
            if self.process.poll() is not None:
                raise RuntimeError(f"the gateway did not start: {self.log.read_text()}")
            return "running on" in (log := self.log.read_text()) and log.count("startup complete") >= workers

        try:
            until(started, self.log.read_text)
        except BaseException:
            self.stop()
            raise

    def wait_for(self, text, count=1):
        """Wait until the log has a text so many times."""
        until(lambda: self.log.read_text().count(text) >= count, lambda: f"no {text!r} in {self.log.read_text()}")

    def lines(self, file, count):
        """Return the first lines of an access log; a line is written after its answer."""

        def lines():
            found = file.read_text().splitlines() if file.exists() else []
            return found if len(found) >= count else None

        return until(lines, lambda: f"fewer than {count} lines in {file}")

    def memory(self):
        """Return the resident bytes of the process."""
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def sockets(self):
        """Return the number of sockets that the process has open."""
        count = 0
        for fd in os.scandir(f"/proc/{self.process.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                count += "socket" in os.readlink(fd.path)
        return count

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            finally:
                self.process.kill()  # which does nothing to a process that has ended
                self.process.wait()


class Backend:
    """A server that answers each connection by a coroutine of (head, reader, writer); it may misbehave.

    With a context it speaks TLS.
    """

    def __init__(self, answer, context=None):
        self.answer = answer
        self.context = context
        self.heads = []
        self.port = free_port()
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        until_open(self.port)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        serving = asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self.context)
        self._server = self._loop.run_until_complete(serving)
        self._loop.run_forever()

    async def _serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            await self.answer(head, reader, writer)
        writer.close()

    def stop(self):
        async def end():
            self._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)


def reset(writer):
    """Close a connection by RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


def raw(port, data):
    """Send bytes as they are, and return what comes until the server closes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(data)
        chunks = []
        with contextlib.suppress(ConnectionError):
            while chunk := connection.recv(65_536):
                chunks.append(chunk)
        return b"".join(chunks)


def get(port, target, *headers, method="GET"):
    """The status and the body of a request whose target is sent as it is."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers, "", ""]
    answer = raw(port, "\r\n".join(lines).encode("latin-1"))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


class App:
    """A gateway in this process, with a clock that is set by hand."""

    def __init__(self, configuration, clock=None, client="192.0.2.1"):
        self.gateway = Gateway(configuration, clock=clock)
        self.client = client

    def __call__(self, method, path, client=None, **options):
        """Send one request by httpx, without a network."""

        async def ask():
            transport = httpx.ASGITransport(self.gateway, client=(client or self.client, 1234))
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as asking:
                return await asking.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path, **options):
        return self("GET", path, **options)

    def statuses(self, path, count, **options):
        return [self.get(path, **options).status_code for _ in range(count)]


def posted(app, body, path="/prod/pets", **headers):
    """Send a body, as JSON if it is not bytes, by an App."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return app("POST", path, content=content, headers=headers)
