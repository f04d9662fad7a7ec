"""Waiting for a turn: places in line, booked on arrival and handed on when a waiter gives up.

The waiters of this process for one key of a limiter form a Line. On arrival each of them books a place, so that the
line is one among processes, too. A place belongs to the line and not to the waiter: the first waiter gets the first
place. When a waiter gives up, all behind it move up, and the last place is given back. No booking depends on the last
place, so all of it goes back, unless another process booked after it; then it is kept and tried again.
"""

import asyncio
import itertools
import threading
import time
from bisect import insort
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from .._engine.constants import NS_PER_SECOND
from ..errors import CostExceedsLimit, TableFull, WaitTimeout
from ..quota import Quota, seconds_to_ns
from .reservation import Reservation
from .signals import AsyncSignal, Signal, sleep_by

Key = str | bytes | int
Cost = int | tuple[int, ...]  # one for all limiters, or one for each
LOOK_EVERY = 0.5  # seconds; so often the first in line looks whether the limit was changed
RETURN_EVERY = 0.001, 0.02  # seconds between two tries to return places: while it works, and while it does not

_lock = threading.RLock()  # of all lines; held for microseconds, never while a waiter sleeps
_lines: "WeakKeyDictionary[Waitable, dict[tuple[type, Key], Line]]" = WeakKeyDictionary()
_arrivals = itertools.count()


class Waitable(Protocol):
    """A limiter, or several as one, as far as waiting needs it."""

    @property
    def clock(self) -> Any: ...
    def now_ns(self) -> int: ...
    def peek(self, key: Key, cost: int = 1, **costs: Any) -> Any: ...
    def reserve(self, key: Key, cost: int = 1, *, max_delay: float | None = None, **costs: Any) -> Reservation: ...


class Waiter:
    """One call of `wait` or `wait_async`, until its turn."""

    def __init__(self, cost: Cost, timeout: float | None, signal: Signal) -> None:
        self.number = next(_arrivals)
        self.cost = cost
        self.timeout = timeout
        self.deadline_ns: int | None = None
        self.signal = signal
        self.error: Exception | None = None


class Place(NamedTuple):
    """A place; places sort by the moment of their turn, and then by when they were booked.

    While the key is blocked nothing can be booked: then the place is one at the end of the block, yet to be booked.
    """

    at_ns: int
    number: int
    booking: Reservation


class Queue:
    """The waiters of a line that ask for one cost, in order of arrival, and at least as many places.

    The places beyond the number of waiters are spare: their waiters gave up.
    """

    def __init__(self) -> None:
        self.waiters: OrderedDict[Waiter, None] = OrderedDict()
        self.places: list[Place] = []

    def first(self) -> Waiter | None:
        return next(iter(self.waiters), None)

    def wake_first(self) -> None:
        first = self.first()
        if first is not None:
            first.signal.set()

    def has_spare(self) -> bool:
        return len(self.places) > len(self.waiters)

    def place_of(self, waiter: Waiter) -> Place:
        return self.places[next(i for i, other in enumerate(self.waiters) if other is waiter)]


class Line:
    """The waiters for one key of a limiter. Every method is called with the lock held."""

    def __init__(self, limiter: Waitable, key: Key) -> None:
        self.limiter = limiter
        self.key = key
        self.quotas = _quotas_of(limiter)
        self.queues: dict[Cost, Queue] = {}

    def join(self, waiter: Waiter) -> None:
        """Stand at the end: at a spare place, or at one that is booked now."""
        queue = self.queues.get(waiter.cost) or Queue()
        if waiter.timeout is not None:
            waiter.deadline_ns = self.limiter.now_ns() + seconds_to_ns(waiter.timeout, "timeout")
        if queue.has_spare():
            self._check_patience(waiter, queue.places[len(queue.waiters)].at_ns)
        else:
            self._add(queue, waiter, waiter.timeout)
        queue.waiters[waiter] = None
        self.queues[waiter.cost] = queue

    def leave(self, waiter: Waiter) -> None:
        """Give up: the waiters behind move up."""
        queue = self.queues[waiter.cost]
        if waiter in queue.waiters:
            was_first = queue.first() is waiter
            del queue.waiters[waiter]
            self.give_back()
            if was_first:
                queue.wake_first()

    def serve(self, waiter: Waiter) -> None:
        """Let the waiter go, whose turn has come; the one behind it is the first now."""
        queue = self.queues[waiter.cost]
        del queue.waiters[waiter]
        queue.places.pop(0)
        self.give_back()
        queue.wake_first()

    def seconds_until(self, at_ns: int) -> float:
        """Seconds until that moment by the limiter's clock, rounded up, for a sleep that is not too short."""
        left = at_ns - self.limiter.now_ns()
        return (left + 1) / NS_PER_SECOND if left > 0 else 0.0

    def follow_change(self) -> None:
        """Book all places again, in the order of arrival, if the limit was changed since they were booked."""
        quotas = _quotas_of(self.limiter)
        if quotas == self.quotas:
            return
        self.quotas = quotas
        self.return_all()
        self.book_again()

    def return_all(self) -> None:
        """Give all places back, the last one first. Each waiter has to be given another one."""
        for place in sorted((place for queue in self.queues.values() for place in queue.places), reverse=True):
            place.booking.cancel()

    def book_again(self) -> None:
        """Book all places again, in the order of arrival."""
        waiters = sorted((w for queue in self.queues.values() for w in queue.waiters), key=lambda w: w.number)
        for queue in self.queues.values():
            queue.places.clear()
            queue.waiters.clear()
        for waiter in waiters:
            try:
                self._add(self.queues[waiter.cost], waiter, self._patience(waiter))
            except (CostExceedsLimit, TableFull, WaitTimeout) as error:
                waiter.error = error
            else:
                self.queues[waiter.cost].waiters[waiter] = None
            waiter.signal.set()

    def give_back(self) -> bool:
        """Return the last places as far as they are spare and no booking depends on them: whether all are returned."""
        final = self.limiter.clock is not None  # no other process shares the clock, and no thread comes back later
        while queue := max((q for q in self.queues.values() if q.places), key=lambda q: q.places[-1], default=None):
            if not queue.has_spare():
                break
            if final:
                queue.places[-1].booking.cancel()
            elif not queue.places[-1].booking._return():
                _returner.visit(self)
                return False
            queue.places.pop()
        return True

    def places(self) -> int:
        return sum(len(queue.places) for queue in self.queues.values())

    def close_if_empty(self) -> None:
        if not self.places():
            _lines.get(self.limiter, {}).pop((type(self.key), self.key), None)

    def _add(self, queue: Queue, waiter: Waiter, timeout: float | None) -> None:
        """Book a place. One that is earlier than others have, because quota came back, is for the first in line."""
        booking = _book(self.limiter, self.key, waiter.cost, timeout)
        assert booking.at_ns is not None  # it is booked
        first = queue.places[0] if queue.places else None
        insort(queue.places, Place(booking.at_ns, next(_arrivals), booking))
        if queue.places[0] is not first:
            queue.wake_first()

    def _patience(self, waiter: Waiter) -> float | None:
        if waiter.deadline_ns is None:
            return None
        return max(0, waiter.deadline_ns - self.limiter.now_ns()) / NS_PER_SECOND

    def _check_patience(self, waiter: Waiter, at_ns: int) -> None:
        if waiter.deadline_ns is not None and at_ns > waiter.deadline_ns:
            raise _too_long(self.key, self.seconds_until(at_ns), waiter.timeout)


class Returner:
    """A thread that tries to return the places on which bookings of another process depend, until all are returned."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._thread: threading.Thread | None = None

    def visit(self, line: Line) -> None:
        """Come to the line again. Called with the lock held."""
        if line not in self._lines:
            self._lines.append(line)
        if self._thread is None or not self._thread.is_alive():  # a fork leaves it behind
            self._thread = threading.Thread(target=self._run, name="ratelimit-returner", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        quick, slow = RETURN_EVERY
        while True:
            with _lock:
                before = sum(line.places() for line in self._lines)
                lines, self._lines = self._lines, []
                for line in lines:
                    line.give_back()  # which asks for another visit, if need be
                    line.close_if_empty()
                if not self._lines:
                    self._thread = None
                    return
                worked = sum(line.places() for line in self._lines) < before
            time.sleep(quick if worked else slow)


_returner = Returner()


def wait(limiter: Waitable, key: Key, cost: Cost, timeout: float | None) -> None:
    """Block until `cost` is spent."""
    signal = threading.Event()
    given = limiter.clock is not None
    sleep = getattr(limiter.clock, "sleep", time.sleep)
    line, waiter = _join(limiter, key, Waiter(cost, timeout, signal))
    try:
        while line is not None and (left := _turn(line, waiter, given)) != 0:
            if given and left is not None:
                sleep(left)
            else:
                signal.wait(left)
                signal.clear()
    except BaseException:
        _leave(line, waiter)
        raise


async def wait_async(limiter: Waitable, key: Key, cost: Cost, timeout: float | None) -> None:
    """Sleep in the running event loop of asyncio until `cost` is spent."""
    try:
        signal = AsyncSignal(asyncio.get_running_loop())
    except RuntimeError:
        raise RuntimeError(
            "wait_async: expected a running event loop of asyncio; elsewhere, such as under trio, "
            "call `wait` in a thread"
        ) from None
    given = limiter.clock is not None
    line, waiter = _join(limiter, key, Waiter(cost, timeout, signal))
    try:
        while line is not None and (left := _turn(line, waiter, given)) != 0:
            if given and left is not None:
                await sleep_by(limiter.clock, left)
            else:
                await signal.wait(left)
    except BaseException:
        _leave(line, waiter)
        raise


def with_places_returned(limiter: Waitable, key: Key, act: Callable[[], object]) -> None:
    """Act on a key while no waiter of this process has a place for it. Then they get places again, in their order."""
    with _lock:
        lines = [
            line
            for waitable, by_key in list(_lines.items())
            if waitable is limiter or limiter in getattr(waitable, "limiters", ())
            for label, line in list(by_key.items())
            if label == (type(key), key)
        ]
        for line in lines:
            line.return_all()
        try:
            act()
        finally:
            for line in lines:
                line.book_again()
                line.close_if_empty()


def _join(limiter: Waitable, key: Key, waiter: Waiter) -> tuple[Line | None, Waiter]:
    """Stand in line; without one where the turn is now and no other waits."""
    if waiter.timeout is not None:
        seconds_to_ns(waiter.timeout, "timeout")  # so that an error message names this argument, and not max_delay
    if type(waiter.cost) is not int or type(key) not in (str, bytes, int):
        limiter.peek(key, **_costs(waiter.cost))  # raises what is wrong with them
    with _lock:
        lines = _lines.setdefault(limiter, {})
        line = lines.get((type(key), key)) or Line(limiter, key)
        line.join(waiter)
        queue = line.queues[waiter.cost]
        place = queue.places[0]
        if queue.first() is waiter and place.booking.allowed and line.seconds_until(place.at_ns) == 0:
            line.serve(waiter)
            return None, waiter
        lines[type(key), key] = line
    return line, waiter


def _turn(line: Line, waiter: Waiter, given: bool) -> float | None:
    """Seconds to sleep until the next look, None to be woken; 0 when the waiter's turn has come, and it has left.

    Only the first in line has to look at the clock. With a clock that was given each waiter does, since such a clock
    cannot wake others.
    """
    with _lock:
        line.follow_change()
        if waiter.error is not None:
            raise waiter.error
        queue = line.queues[waiter.cost]
        first = queue.first() is waiter
        if not first and not given:
            return None
        left = line.seconds_until(queue.place_of(waiter).at_ns)
        while left == 0 and first and not queue.places[0].booking.allowed:  # the block has ended
            line.book_again()
            if waiter.error is not None:
                raise waiter.error
            left = line.seconds_until(queue.place_of(waiter).at_ns)
        if left == 0 and first:
            line.serve(waiter)
            line.close_if_empty()
        elif left == 0:
            return None
        return left if given else min(left, LOOK_EVERY)


def _leave(line: Line | None, waiter: Waiter) -> None:
    if line is not None:
        with _lock:
            line.leave(waiter)
            line.close_if_empty()


def _costs(cost: Cost) -> dict[str, Any]:
    return {"costs": cost} if isinstance(cost, tuple) else {"cost": cost}


def _book(limiter: Waitable, key: Key, cost: Cost, timeout: float | None) -> Reservation:
    booking = limiter.reserve(key, max_delay=timeout, **_costs(cost))
    if booking:
        return booking
    if booking.delay_ns is None:
        raise CostExceedsLimit(f"cost {cost} for key {key!r} is more than {limiter!r} ever allows")
    if timeout is None or booking.delay_ns <= seconds_to_ns(timeout, "timeout"):  # the delay was not the reason
        if booking.blocked:
            return booking
        raise TableFull(
            f"no slot for key {key!r}: every slot it could take has a live key, the first one for {booking.delay:.9g} s"
        )
    raise _too_long(key, booking.delay, timeout)


def _too_long(key: Key, delay: float, timeout: float | None) -> WaitTimeout:
    return WaitTimeout(f"key {key!r} has to wait {delay:.9g} s, longer than timeout={timeout!r}", delay)


def _quotas_of(limiter: Any) -> list[Quota]:
    return [one.quota for one in getattr(limiter, "limiters", (limiter,))]
