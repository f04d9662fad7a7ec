"""An OpenAPI document that the gateway serves, under Schemathesis: each answer is one that the document has."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parent / "templates" / "shop-openapi.yaml"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"

pytestmark = pytest.mark.slow  # some hundreds of requests


class Function(BaseHTTPRequestHandler):
    """A function that answers with what it was asked."""

    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.events.append(event)
        item = {
            "id": (event.get("pathParameters") or {}).get("id", ""),
            "path": event.get("rawPath") or event["path"],
            "query": event.get("queryStringParameters") or {},
        }
        answer = {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(item)}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture
def function():
    """Return a server that calls Function, and keeps the events."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Function) as server:
        server.events = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_every_answer_is_one_of_the_document(serve, function, tmp_path):
    gateway = serve(DOCUMENT.read_text(), "--function", f"Shop=http://127.0.0.1:{function.server_port}/call")
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", str(DOCUMENT), "--url", gateway.url, "--checks", CHECKS,
        "--max-examples", "30", "--seed", "1", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-5_000:]
    assert "No issues found" in done.stdout
    assert {event["version"] for event in function.events} == {"1.0", "2.0"}
    assert len(function.events) > 100
