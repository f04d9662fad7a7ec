"""Applications in the servers that people run them with, and the programs of the documentation."""

import os
import subprocess
import sys

import pytest
from ports import free_port, until_open
from servers import EXAMPLES, PACKAGE, SERVERS, Server
from waiting import PATIENCE


@pytest.fixture
def serve(shared_name):
    """Return a function that starts an application `module:name` with four workers; it is stopped after the test.

    The servers are stopped before the tables of `shared_name` are removed: a worker that starts late would make them
    again.
    """
    running = []

    def start(server, app, folder, workers=4):
        port = free_port()
        variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(PACKAGE)])}
        command = [word.format(port=port, app=app, workers=workers) for word in SERVERS[server]]
        process = subprocess.Popen([sys.executable, "-m", *command], env=variables, cwd=folder)
        running.append(process)
        until_open(port, process)
        return Server(port)

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait(timeout=PATIENCE)


@pytest.fixture
def example(shared_name, tmp_path):
    """Return a function that copies a program of the documentation, with a name in shared memory of its own."""

    def copy(name):
        text = (EXAMPLES / name).read_text()
        assert "example" in text
        assert len(text.splitlines()) <= 20, "a program of the documentation has at most 20 lines"
        (tmp_path / name).write_text(text.replace("example", shared_name))
        return tmp_path

    return copy
