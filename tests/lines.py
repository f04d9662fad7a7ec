"""A network that delays, loses and cuts connections: a proxy in a thread, since a kernel may have no netem.

TCP hides a lost packet as a delay. A program gets a late reply, or none, or its connection is cut before or after the
server has read the request.
"""

import contextlib
import random
import socket
import threading
import time


class Line:
    """A line to a server on this host.

    Args:
        port: of the server.
        address: at which it listens.
        delay: the longest, of each piece in each direction, in seconds.
        cut, loss: the part of the pieces after which a connection is cut, or silent.
    """

    def __init__(self, port, address="127.0.0.1", *, delay=0.0, cut=0.0, loss=0.0, seed=1):
        self._port, self._delay, self._cut, self._loss = port, delay, cut, loss
        self._random = random.Random(seed)
        self.cuts = self.losses = 0
        self._listener = socket.create_server((address, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):  # the line is closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client):
        """Carry what a client and the server send, until one of them or the line cuts the connection."""
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port)) as server:
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self._carry, args=(server, client), daemon=True)
            back.start()
            self._carry(client, server)
            back.join()  # before its sockets are closed, whose numbers others may get

    def _carry(self, source, target):
        with contextlib.suppress(OSError):
            while piece := source.recv(65_536):
                time.sleep(self._random.uniform(0, self._delay))  # noqa: TID251
                fate = self._random.random()
                if fate < self._loss:
                    self.losses += 1
                    continue
                if fate < self._loss + self._cut:
                    self.cuts += 1
                    if self._random.random() < 0.5:
                        target.sendall(piece)
                    break
                target.sendall(piece)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
