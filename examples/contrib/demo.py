"""A FastAPI application with two limits, under four worker processes of uvicorn: `python examples/contrib/demo.py`.

The limits hold over all processes: each path has 100 answers a day, and the search 20.
"""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ratelimit import Table

APPLICATION = Path(__file__).with_name("fastapi_app.py")
WORKERS, REQUESTS = 4, 300
SHOWN = ("ratelimit-policy", "ratelimit", "retry-after")


def main() -> None:
    name = f"demo-{uuid.uuid4().hex}"  # a table of its own, so each run begins with no counts
    with tempfile.TemporaryDirectory() as folder:
        program = APPLICATION.read_text()
        print(program)
        (Path(folder) / APPLICATION.name).write_text(program.replace("example", name))
        process, port = serve(folder)
        try:
            for path in ("/search", "/docs"):
                show(port, path)
        finally:
            process.terminate()
            process.wait(60)
            for table in Table.names():
                if table.startswith(name):
                    Table.shared(table).remove()


def serve(folder: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start the application, and wait until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = f"-m uvicorn --workers {WORKERS} --port {port} --log-level error {APPLICATION.stem}:app".split()
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([folder, *filter(None, sys.path)])}
    process = subprocess.Popen([sys.executable, *command], cwd=folder, env=variables)
    while process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return process, port
        time.sleep(0.05)
    sys.exit("The server did not start.")


def ask(port: int, path: str) -> tuple[int, dict[str, str]]:
    """Send a request on a connection of its own, so any worker may answer; return the status and the header fields."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, {key.lower(): value for key, value in answer.getheaders()}


def show(port: int, path: str) -> None:
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda _: ask(port, path), range(REQUESTS)))
    counts = Counter(status for status, _ in answers)
    print(f"GET {path}, {REQUESTS} times over {WORKERS} worker processes: ", end="")
    print(", ".join(f"{many} x {status}" for status, many in sorted(counts.items())))
    for key, value in next(fields for status, fields in answers if status == 429).items():
        if key in SHOWN:
            print(f"    {key}: {value}")


if __name__ == "__main__":
    main()
