"""Clients that take their answers too slowly."""

import asyncio
from fcntl import ioctl
from socket import IPPROTO_TCP, TCP_INFO
from struct import error as StructError
from struct import unpack_from
from sys import byteorder
from termios import TIOCOUTQ
from typing import ClassVar

BYTES_ACKED = 120  # where Linux has tcpi_bytes_acked in its struct tcp_info


class SlowClientTimeout(asyncio.Protocol):
    """Aborts the connection of a client that takes what waits for it too slowly.

    Of what waits, a client must take `min_rate` bytes a second, or all, in each period of `send_timeout` seconds. The
    kernel buffers megabytes, so what counts is what the client has acknowledged. Closing alone does not end such a
    connection: what was written before would have to leave first.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    send_timeout: ClassVar[float] = 30.0
    min_rate: ClassVar[float] = 1_000.0

    _check: asyncio.TimerHandle | None = None
    _lost = False

    def pause_writing(self) -> None:
        super().pause_writing()
        self.watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._check is not None:
            self._check.cancel()
            self._check = None
        super().connection_lost(exc)

    def watch(self) -> None:
        """From now on the client must take what waits for it."""
        if self._check is None and not self._lost:
            taken, waiting = self._progress()
            self._check = self.loop.call_later(self.send_timeout, self._look, taken, waiting)

    def _look(self, taken_before: int, waiting_before: int) -> None:
        self._check = None
        taken, waiting = self._progress()
        if taken - taken_before < min(self.min_rate * self.send_timeout, waiting_before):
            self.transport.abort()
        elif waiting:
            self.watch()

    def _progress(self) -> tuple[int, int]:
        """Bytes that the client has acknowledged so far, and bytes that wait for it to do so."""
        buffered = self.transport.get_write_buffer_size()
        try:
            socket = self.transport.get_extra_info("socket")
            unacknowledged = int.from_bytes(ioctl(socket.fileno(), TIOCOUTQ, bytes(4)), byteorder)
            acknowledged = unpack_from("Q", socket.getsockopt(IPPROTO_TCP, TCP_INFO, 128), BYTES_ACKED)[0]
        except (OSError, AttributeError, StructError):  # no TCP, or no Linux: what the kernel has taken counts
            return -buffered, buffered
        return acknowledged, buffered + unacknowledged
