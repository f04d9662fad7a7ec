"""The operator's pages and `@connections` serve no page of another site, and no name that was made to point here."""

import json

import pytest
from fronts import ask
from gateway_harness import Server
from waiting import PATIENCE
from websockets.sync.client import connect

CHAT = """
apis:
  chat:
    type: websocket
    routes: {$default: {mock: {body: "$context.connectionId"}}}
    stages: {prod: {}}
"""


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("chat"), CHAT)
    yield server
    server.stop()


@pytest.fixture
def victim(chat):
    """The path of a connected client, and the client."""
    with connect(f"ws://127.0.0.1:{chat.port}/prod") as client:
        client.send("{}")
        yield f"/prod/@connections/{client.recv(timeout=PATIENCE)}", client


FOREIGN = [
    ["Origin: https://evil.example"],
    ["Origin: null"],
    ["Origin: http://127.0.0.1.evil.example"],
    ["Sec-Fetch-Site: cross-site"],
    ["Sec-Fetch-Site: same-site"],
    ["Content-Type: text/plain"],
    ["Content-Type: TEXT/PLAIN;charset=utf-8"],
    ["Content-Type: application/x-www-form-urlencoded"],
    ["Content-Type: multipart/form-data; boundary=x"],
]


@pytest.mark.parametrize("lines", FOREIGN)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_no_page_of_another_site_reaches_a_client(chat, victim, method, lines):
    path, client = victim
    if method == "DELETE" and lines[0].startswith("Content-Type"):
        lines = [*lines, "Origin: https://evil.example"]
    head = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{chat.port}", "Content-Length: 6", *lines]
    assert ask(chat.port, *head, body=b"forged")[0] in (403, 415)
    client.send("{}")
    assert client.recv(timeout=PATIENCE) == path.rpartition("/")[2]  # neither forged nor closed


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_no_name_that_points_here_reaches_a_client(chat, victim, method):
    """DNS rebinding: the page of a site whose name was changed to this address."""
    path, client = victim
    head = [f"{method} {path} HTTP/1.1", "Host: evil.example", "Content-Length: 6"]
    status, _, body = ask(chat.port, *head, body=b"forged")
    assert status == 403
    assert b"sourceIp" not in body
    client.send("{}")
    assert client.recv(timeout=PATIENCE) == path.rpartition("/")[2]


def test_an_operator_reaches_a_client(chat, victim):
    path, client = victim
    for host in (f"127.0.0.1:{chat.port}", "localhost"):
        own = f"Origin: http://{host}"
        assert json.loads(ask(chat.port, f"GET {path} HTTP/1.1", f"Host: {host}")[2])["identity"]["sourceIp"]
        for lines in ([], [own, "Sec-Fetch-Site: same-origin"], ["Content-Type: application/octet-stream"]):
            head = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Length: 5", *lines]
            assert ask(chat.port, *head, body=b"hello")[0] == 200
            assert client.recv(timeout=PATIENCE) == "hello"
    assert ask(chat.port, f"DELETE {path} HTTP/1.1", "Host: localhost")[0] == 204


@pytest.mark.parametrize("lines", [["Origin: https://evil.example"], ["Sec-Fetch-Site: cross-site"]])
def test_no_page_of_another_site_adjusts_usage(chat, lines):
    body = b'{"plan": "p", "key": "k", "remaining": 1}'
    head = ["POST /_gateway/usage HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    assert ask(chat.port, *head, f"Content-Length: {len(body)}", *lines, body=body)[0] == 403
    assert ask(chat.port, *head, f"Content-Length: {len(body)}", body=body)[0] == 400  # there is no such plan
