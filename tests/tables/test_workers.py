"""Real gunicorn and uvicorn, four workers each: the number of 200s is the limit, exactly."""

import http.client
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ports import free_port, until_open
from waiting import PATIENCE, until

import ratelimit

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVERS = {
    "gunicorn": ["gunicorn", "-w", "4", "-b", "127.0.0.1:{port}", "--log-level", "warning", "shared_limit:app"],
    "uvicorn": ["uvicorn", "--workers", "4", "--port", "{port}", "--log-level", "warning", "shared_limit:asgi"],
}


def get(port):
    """Return the status and the process that answered; the connection is new, so any worker may accept it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/")
    answer = connection.getresponse()
    return answer.status, int(answer.read())


@pytest.fixture(params=SERVERS)
def port(request, shared_name):
    port = free_port()
    environment = os.environ | {
        "LIMIT_TABLE": shared_name,
        "PYTHONPATH": os.pathsep.join([str(EXAMPLES), str(Path(ratelimit.__file__).parents[1])]),
    }
    command = [sys.executable, "-m", *(word.format(port=port) for word in SERVERS[request.param])]
    server = subprocess.Popen(command, env=environment, cwd=EXAMPLES)
    try:
        until_open(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)


def test_the_limit_holds_over_all_workers(port):
    """A hundred of three hundred or more are admitted; more than one worker answered once all had started."""
    answers = []
    with ThreadPoolExecutor(16) as clients:

        def several_answered():
            answers.extend(clients.map(lambda _: get(port), range(300)))
            return len({process for _, process in answers}) > 1

        until(several_answered)
    assert sorted({status for status, _ in answers}) == [200, 429]
    assert sum(status == 200 for status, _ in answers) == 100
    assert len({process for _, process in answers}) > 1
