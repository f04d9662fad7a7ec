"""Real gunicorn and uvicorn whose workers are replaced while an operator or a deployment changes the limit."""

import http.client
import os
import subprocess
import sys
from pathlib import Path
from signal import SIGHUP

import pytest
from ports import free_port, until_open
from waiting import PATIENCE, until

import ratelimit
from ratelimit._cli.table import main

HERE = Path(__file__).parent
SERVERS = {
    "gunicorn": ["gunicorn", "-w", "2", "-b", "127.0.0.1:{port}", "--max-requests", "4", "rollout_app:app"],
    "uvicorn": ["uvicorn", "--workers", "2", "--port", "{port}", "--limit-max-requests", "4", "rollout_app:asgi"],
}
pytestmark = pytest.mark.slow


@pytest.fixture(params=SERVERS)
def server(request, shared_name, tmp_path):
    """Return the process, and a function that asks it for a worker's number and its limit; None if none answers."""
    quota, port = tmp_path / "quota", free_port()
    quota.write_text("100/day")
    environment = os.environ | {
        "QUOTA_FILE": str(quota),
        "LIMIT_TABLE": shared_name,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(Path(ratelimit.__file__).parents[1])]),
    }
    command = [sys.executable, "-m", *(word.format(port=port) for word in SERVERS[request.param])]
    process = subprocess.Popen(command, env=environment, cwd=HERE, stderr=subprocess.DEVNULL)

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("GET", "/")
            return tuple(map(int, connection.getresponse().read().split()))
        except (OSError, http.client.HTTPException):
            return None  # a worker that is being replaced
        finally:
            connection.close()

    try:
        until_open(port, process)
        yield process, ask, quota
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def test_replaced_workers_follow_the_operator_and_then_the_deployment(server, shared_name, request):
    """No worker fails at import, and none undoes a change."""
    process, ask, quota = server
    before = {until(ask) for _ in range(4)}
    assert {limit for _, limit in before} == {100}
    assert main(["change", shared_name, "200/day"]) == 0
    seen = set()

    def enough_replaced():
        answer = until(ask)
        assert answer[1] == 200
        seen.add(answer[0])
        return len(seen - {worker for worker, _ in before}) >= 1

    until(enough_replaced)
    if "gunicorn" in request.node.name:
        quota.write_text("300/day")
        process.send_signal(SIGHUP)
        until(lambda: until(ask)[1] == 300)
    assert process.poll() is None
