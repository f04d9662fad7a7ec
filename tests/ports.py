"""Ports of the loopback interface, for servers that tests start."""

import contextlib
import random
import socket

from waiting import PATIENCE, until


def free_port():
    """Return a port on which no server listens.

    A server opens it later. Until then no client takes it, as the kernel gives clients ports from 32,768 on, and
    hardly another test, which has its own chance.
    """
    chance = random.SystemRandom()  # tests may set the seed of the others
    while True:
        port = chance.randrange(11_000, 32_768)
        with contextlib.suppress(OSError), socket.socket() as found:
            found.bind(("127.0.0.1", port))
            return port


def until_open(port, process=None):
    """Wait until a process accepts connections; fail at once if it ends before that."""

    def is_open():
        if process is not None and process.poll() is not None:
            printed = process.stdout.read() if process.stdout else ""
            raise RuntimeError(f"the server ended with {process.returncode}: {printed}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
            return True

    until(is_open, lambda: f"no process listens on port {port}")
