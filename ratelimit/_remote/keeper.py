"""The work on leases beside the requests: a thread asks for more, and gives back what was not spent.

A process gives back what it was granted itself, at the end of the lease or when the process ends. If it is killed, the
others of the host can spend its leases until they end, and the rest comes back with time.
"""

import atexit
import heapq
import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from .answer import Answer
from .asking import Requests, ask_each
from .request import return_of
from .spending import monotonic

log = logging.getLogger("ratelimit.valkey")

IDLE = 1.0  # seconds after which the thread ends; it starts again when it is needed


class Grant(NamedTuple):
    """A lease that this process was granted; in the order of their ends."""

    end: int  # nanoseconds of the host's monotonic clock
    number: int
    place: tuple[int, int, int] | None  # in the Leases; None: there was no room for it
    amount: int
    limiter: Any
    answer: Answer  # with which it was granted
    received: int

    def request(self) -> Any:
        """Take what is left of it; return what gives that back, or None if that is nothing or the quota has changed."""
        left = self.amount if self.place is None else self.limiter._leases.take(*self.place)
        if not left:
            return None
        held_ns = monotonic() - self.received
        return return_of(
            self.limiter,
            self.answer.asked.name,
            left,
            self.answer.revision,
            self.answer.now_ns // 1_000,
            (held_ns - held_ns // 1_024) // 1_000,
        )


class Keeper:
    """The grants of this process, and the thread that looks after them.

    Attributes:
        is_busy: whether the thread has something to do now.

    Thread-safety: every method may be called from any thread, also after a fork.
    """

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Leave the grants to the parent process."""
        self._grants: list[Grant] = []
        self._errands: list[Callable[[], None]] = []
        self._numbers = 0
        self._changed = threading.Condition()
        self._runs = False
        self.is_busy = False

    def watch(
        self,
        end: int,
        place: tuple[int, int, int] | None,
        amount: int,
        limiter: Any,
        answer: Answer,
        received: int,
    ) -> None:
        """Give back at the end of a lease what is left of it then."""
        with self._changed:
            self._numbers += 1
            grant = Grant(end, self._numbers, place, amount, limiter, answer, received)
            heapq.heappush(self._grants, grant)
            if self._grants[0] is grant:
                self._wake()

    def send(self, errand: Callable[[], None]) -> None:
        """Carry something out in the thread."""
        with self._changed:
            self._errands.append(errand)
            self.is_busy = True
            self._wake()

    def _wake(self) -> None:
        if self._runs:
            self._changed.notify()
        else:
            self._runs = True
            threading.Thread(target=self._run, name="ratelimit-leases", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._errands and not self._due():
                    pause = (self._grants[0].end - monotonic()) / 1e9 if self._grants else IDLE
                    if not self._changed.wait(max(pause, 0.0)) and not self._grants and not self._errands:
                        self._runs = False
                        return
                errands, self._errands = self._errands, []
                due = self._take_due(monotonic())
                self.is_busy = bool(errands or due)
            errands.append(partial(self._give_back, due))
            for work in errands:
                try:
                    work()
                except Exception:  # the thread goes on for the other limiters
                    log.exception("the work on a lease failed")
            self.is_busy = False

    def _due(self) -> bool:
        return bool(self._grants) and self._grants[0].end <= monotonic()

    def _take_due(self, now: int) -> list[Grant]:
        due = []
        while self._grants and self._grants[0].end <= now:
            due.append(heapq.heappop(self._grants))
        return due

    def give_all_back(self) -> None:
        """Give back what is left of all leases, before they end: the process ends, or a test wants it."""
        with self._changed:
            grants, self._grants = self._grants, []
        self._give_back(grants)

    def _give_back(self, grants: list[Grant]) -> None:
        groups: dict[int, tuple[Any, list[Requests]]] = {}
        for grant in grants:
            request = grant.request()
            if request is not None:
                storage = grant.limiter.table.remote
                storage.returned += request.cost
                groups.setdefault(id(storage.engine), (storage, []))[1].append([request])
        for storage, requests in groups.values():
            ask_each(storage, requests)  # without an answer it stays spent, which is stricter


keeper = Keeper()  # of this process
atexit.register(keeper.give_all_back)
os.register_at_fork(after_in_child=keeper.after_fork)
