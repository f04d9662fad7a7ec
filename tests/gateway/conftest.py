"""Servers that live as long as a test, and an nginx for all of them."""

import os
import subprocess

import pytest
from gateway_harness import Backend, Server
from ports import free_port, until_open
from tools import program
from waiting import PATIENCE

from ratelimit.gateway.config.load import Document


@pytest.fixture
def serve(tmp_path):
    """Return a function that starts gateways; they are stopped after the test."""
    servers = []

    def start(text, *options, **more):
        servers.append(Server(tmp_path, text, *options, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def backend():
    """Return a function that starts backends; they are stopped after the test."""
    backends = []

    def start(answer, context=None):
        backends.append(Backend(answer, context))
        return backends[-1]

    yield start
    for one in backends:
        one.stop()


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a configuration or a template from its text."""

    def read(text):
        file = tmp_path / "template.yaml"
        file.write_text(text)
        return Document.read(file)

    return read


NGINX = """
{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; default_type text/plain;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi; client_max_body_size 20m;
  server {{
    listen 127.0.0.1:{port};
    location / {{ return 200 "$request_method $request_uri host=$http_host xff=$http_x_forwarded_for\\n"; }}
    location /files/ {{ alias {folder}/files/; }}
    location /echo {{ add_header X-Seen $http_x_stage always; add_header Set-Cookie a=1; add_header Set-Cookie b=2;
                      return 201 "stage=$http_x_stage key=$http_x_api_key\\n"; }}
    location /admin {{ return 200 "the admin page"; }}
  }}
}}
"""


@pytest.fixture(scope="session")
def nginx(tmp_path_factory):
    """Start an nginx that shows the requests that it receives; return its port."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # who may read the folder
    (folder / "files").mkdir()
    (folder / "files" / "large").write_bytes(b"0123456789abcdef" * 65_536)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, user=user))
    process = subprocess.Popen(
        [program("nginx"), "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until_open(port, process)
    yield port
    process.terminate()
    process.wait(PATIENCE)
