"""Hosts for tests: network namespaces with addresses of their own where this machine makes them, else plain processes."""

import itertools
import os
import signal
import subprocess
import sys
from contextlib import suppress
from ipaddress import ip_network

from ports import free_port
from servers import PACKAGE, Server
from tools import find
from waiting import PATIENCE, until

_numbers = itertools.count()
NETWORK = ip_network("10.213.0.0/16")
# `ip netns exec` makes a mount namespace, too, so this shared memory is the host's own.
OWN_MEMORY = 'mount -t tmpfs tmpfs /dev/shm && exec "$@"'


def run(*words):
    subprocess.run(words, check=True, capture_output=True, timeout=PATIENCE)


class Host:
    """A network namespace with one link to this one and with shared memory of its own.

    Without the rights to make it, it is the loopback interface.

    Attributes:
        address: at which this process reaches the servers of the host.
        outside: at which the host reaches the servers of this process.
    """

    def __init__(self):
        number = (os.getpid() * 16 + next(_numbers)) % 2**14
        self.outside, self.address = (str(NETWORK[4 * number + end]) for end in (1, 2))
        self._name, self._link = f"ratelimit-{number}", f"rl{number}"
        self._processes = []
        if os.geteuid() == 0 and find("ip"):
            run("ip", "netns", "add", self._name)
            run("ip", "link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self._name)
            run("ip", "addr", "add", f"{self.outside}/30", "dev", self._link)
            run("ip", "link", "set", self._link, "up")
            run("ip", "-n", self._name, "addr", "add", f"{self.address}/30", "dev", "eth0")
            run("ip", "-n", self._name, "link", "set", "eth0", "up")
            run("ip", "-n", self._name, "link", "set", "lo", "up")
            self._prefix = ["ip", "netns", "exec", self._name, "sh", "-c", OWN_MEMORY, "sh"]
        else:
            self.outside = self.address = "127.0.0.1"
            self._prefix = []

    @property
    def is_separate(self):
        """Whether it has a network of its own."""
        return bool(self._prefix)

    def set_link(self, state):
        """Set the link to this host "up" or "down"."""
        run("ip", "link", "set", self._link, state)

    def start(self, *words, folder=None, **options):
        """Start a program on the host, with options as for subprocess.Popen."""
        variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(PACKAGE)])}
        options = {"start_new_session": True} | options
        process = subprocess.Popen([*self._prefix, *words], env=variables, cwd=folder, **options)
        self._processes.append(process)
        return process

    def uvicorn(self, app, folder, workers):
        """Serve an application, and return its Server."""
        port = free_port()
        options = ["--workers", str(workers), "--host", self.address, "--port", str(port), "--log-level", "warning"]
        options += ["--timeout-worker-healthcheck", str(PATIENCE)]  # a killed worker gives no lease back
        self.start(sys.executable, "-m", "uvicorn", *options, app, folder=folder)
        server = Server(port, self.address)
        until(server.is_open)
        return server

    def stop(self):
        """End the host as a power cut does: no worker that is still starting, or waits for a client, holds it up."""
        for process in self._processes:
            with suppress(ProcessLookupError):  # it has ended, and all that it started
                os.killpg(process.pid, signal.SIGKILL)
        for process in self._processes:
            process.wait()
        if self._prefix:
            run("ip", "netns", "del", self._name)
