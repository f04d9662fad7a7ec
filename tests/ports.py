"""Ports of the loopback interface, for servers that tests start."""

import contextlib
import socket

from waiting import PATIENCE, until


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def until_open(port, process=None):
    """Wait until a process accepts connections; fail at once if it ends before that."""

    def is_open():
        if process is not None and process.poll() is not None:
            printed = process.stdout.read() if process.stdout else ""
            raise RuntimeError(f"the server ended with {process.returncode}: {printed}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
            return True

    until(is_open, lambda: f"no process listens on port {port}")
