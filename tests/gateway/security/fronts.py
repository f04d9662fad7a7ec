"""Parts of the attack tests: a backend that records requests, proxies before a gateway, and a raw client."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import threading

import h11
from ports import free_port, until_open
from tools import program
from waiting import PATIENCE


class Service:
    """A server on the loopback interface in a thread of its own, until `stop`."""

    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        until_open(self.port)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self._loop.run_forever()

    def stop(self):
        async def end():
            self._server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)


class Tap(Service):
    """Passes connections on to a port, and keeps what each client sent."""

    def __init__(self, port):
        self.to = port
        self.connections = []
        super().__init__()

    async def _serve(self, reader, writer):
        sent = bytearray()
        self.connections.append(sent)
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self.to)
        await asyncio.gather(relay(reader, behind_writer, sent), relay(behind_reader, writer, bytearray()))


async def relay(reader, writer, kept):
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while data := await reader.read(65_536):
            kept += data
            writer.write(data)
            await writer.drain()
    writer.close()


class Recorder(Service):
    """A backend that keeps every request as h11 reads it, and answers with what it saw as JSON.

    The answer repeats `X-Id`, so that a test can tell to which request it belongs.
    """

    def __init__(self):
        self.seen = []
        super().__init__()

    async def _serve(self, reader, writer):
        connection = h11.Connection(h11.SERVER)
        request, body = None, b""
        with contextlib.suppress(OSError, asyncio.CancelledError, h11.RemoteProtocolError):
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(65_536))
                elif isinstance(event, h11.Request):
                    request, body = event, b""
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    writer.write(self._answer(connection, request, body))
                    await writer.drain()
                    if connection.our_state is h11.MUST_CLOSE:
                        break
                    connection.start_next_cycle()
                else:
                    break
        writer.close()

    def _answer(self, connection, request, body):
        headers = [(name.decode(), value.decode("latin-1")) for name, value in request.headers]
        seen = {
            "method": request.method.decode(),
            "target": request.target.decode("latin-1"),
            "headers": headers,
            "body": body.decode("latin-1"),
        }
        self.seen.append(seen)
        text = json.dumps({**seen, "body": len(body), "id": dict(headers).get("x-id")}).encode()
        fields = [("content-type", "application/json"), ("content-length", str(len(text)))]
        data = h11.Data(b"" if request.method == b"HEAD" else text)
        events = h11.Response(status_code=200, headers=fields), data, h11.EndOfMessage()
        return b"".join(map(connection.send, events))

    def ids(self):
        return [dict(one["headers"]).get("x-id", "") for one in self.seen]

    def header(self, name, index=-1):
        """All values of a header of one request."""
        return [value for one, value in self.seen[index]["headers"] if one == name]


NGINX = """
{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi; client_max_body_size 20m;
  upstream gateway {{ server 127.0.0.1:{gateway}; keepalive 1; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://gateway; proxy_http_version 1.1; proxy_request_buffering {buffering};
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
    }}
    location /admin {{ return 403; }}
  }}
}}
"""

# `http-reuse always` lets requests of different clients share one connection to the gateway.
HAPROXY = """
global
  maxconn 512
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 60s
  http-reuse always
frontend front
  bind 127.0.0.1:{port}
  http-request deny if {{ path_beg /admin }}
  default_backend gateway
backend gateway
  server one 127.0.0.1:{gateway}
"""


class Proxy:
    """nginx or HAProxy before a gateway, until `stop`."""

    def __init__(self, kind, folder, gateway, buffering="off"):
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        user = "user root;" if os.geteuid() == 0 else ""
        text = NGINX if kind == "nginx" else HAPROXY
        file = folder / f"{kind}.conf"
        file.write_text(text.format(folder=folder, gateway=gateway, port=self.port, user=user, buffering=buffering))
        path = program(kind)
        command = (
            [path, "-p", folder, "-c", file, "-e", folder / "error.log"]
            if kind == "nginx"
            else [path, "-db", "-f", file]
        )
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        until_open(self.port, self.process)

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.process.stdout.close()


class Client:
    """A connection that sends bytes as they are and reads answers one by one.

    Args:
        port: of the loopback interface.
        seconds: how long an answer may take.
    """

    def __init__(self, port, seconds=20):
        self.socket = socket.create_connection(("127.0.0.1", port), seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parser = h11.Connection(h11.CLIENT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *segments):
        """Send each argument as a segment of its own."""
        for segment in segments:
            with contextlib.suppress(OSError):  # the gateway may have answered and closed already
                self.socket.sendall(segment)

    def answer(self, method="GET"):
        """The next answer as (status, headers, body); None when the server closes instead."""
        if self._parser.our_state is h11.DONE:
            self._parser.start_next_cycle()
        if self._parser.our_state is h11.MUST_CLOSE:  # the answer before said that it is the last
            assert not self.rest(), "an answer behind the last one"
            return None
        self._parser.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        self._parser.send(h11.EndOfMessage())
        response, body = None, b""
        while True:
            event = self._parser.next_event()
            if event is h11.NEED_DATA:
                try:
                    self._parser.receive_data(self.socket.recv(65_536))
                except ConnectionError:
                    return None
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                headers = {name.decode(): value.decode("latin-1") for name, value in response.headers}
                return response.status_code, headers, body
            elif isinstance(event, h11.ConnectionClosed):
                return None

    def rest(self, seconds=2):
        """Bytes that come until the server closes or is silent for some seconds."""
        found = self._parser.trailing_data[0]
        self.socket.settimeout(seconds)
        with contextlib.suppress(OSError):
            while chunk := self.socket.recv(65_536):
                found += chunk
        return found


def ask(port, *lines, body=b"", method="GET", seconds=20):
    """The answer to one request, whose head is these lines and whose connection is its own."""
    with Client(port, seconds) as client:
        client.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return client.answer(method)


def proxied(url, **options):
    """A configuration whose only API passes everything on."""
    more = "".join(f", {name}: {value}" for name, value in options.items())
    return f'apis: {{a: {{routes: {{$default: {{proxy: {{to: "{url}"{more}}}}}}}, stages: {{$default: {{}}}}}}}}'
