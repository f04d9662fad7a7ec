"""Budgets for APIs that limit requests and tokens: reserve an estimate, then settle what was used.

budget = Budget(requests="60/minute", tokens="100000/minute")
with budget.spend("model", tokens=1_200) as call:
    answer = ...
    call.used(tokens=answer.usage.total_tokens)
"""

from types import TracebackType
from typing import Any

from .._core import Limiter
from ..limiters.composite import All
from ..quota import checked_int
from ._policy import Key, Limiters, checked_seconds

REQUESTS = "requests"  # the part that costs 1 unless the caller gives another number


class Budget:
    """Several limits that are spent together, each by a number of its own.

    Args:
        shared: a name in shared memory. With it, all processes of the host have one budget.
        timeout: seconds; if a call would have to wait for longer, it raises WaitTimeout at once.
        clock, max_keys: as for every limiter.
        limits: texts such as `requests="60/minute"`, `tokens="100000/minute"`, under any names.

    Raises:
        TypeError, ValueError: a limit is not possible, or no limit was given.

    Thread-safety: as for every limiter. Calls are served in the order in which they come.
    """

    def __init__(
        self,
        *,
        shared: str | None = None,
        timeout: float | None = None,
        clock: Any = None,
        max_keys: int | None = None,
        **limits: str,
    ) -> None:
        if not limits:
            raise TypeError("limits: expected one or more, such as requests='60/minute', got none")
        self._limiters = Limiters(shared, clock=clock, max_keys=max_keys)
        self._timeout = checked_seconds(timeout, "timeout")
        self._parts: list[tuple[str, Limiter]] = []
        for name, limit in limits.items():
            if not isinstance(limit, str):
                raise TypeError(f"{name}: expected text such as '60/minute', got {limit!r}")
            limiter = self._limiters.get(limit, name)
            self._parts += [(name, one) for one in (limiter.limiters if isinstance(limiter, All) else (limiter,))]
        self._all = All(*(limiter for _, limiter in self._parts))
        self._names = list(limits)

    def spend(self, key: Key, **estimates: int) -> "Call":
        """Return a call, which waits for its turn as a context manager, `with` or `async with`.

        Args:
            key: what has the budget, such as the name of a model or an account.
            estimates: a number for each limit, such as `tokens=1_200`; `requests` is 1 if it is not given.

        Raises:
            TypeError, ValueError: an estimate is missing, or is not a whole number from 1.

        On entering it raises WaitTimeout, and CostExceedsLimit if no wait is long enough.
        """
        for name in estimates:
            if name not in self._names:
                raise TypeError(f"spend: expected the limits {', '.join(self._names)}, got {name!r}")
        costs = {}
        for name in self._names:
            if name not in estimates and name != REQUESTS:
                raise TypeError(f"spend: expected an estimate {name}=")
            costs[name] = checked_int(estimates.get(name, 1), name)
        return Call(self, key, costs)

    def block(self, key: Key, seconds: float) -> None:
        """Let all calls with this key wait, such as for the time that a server asks for."""
        self._all.block(key, seconds)

    def clear(self) -> None:
        """Forget all keys, for tests."""
        self._limiters.clear()

    def now_ns(self) -> int:
        """Return the time by this budget's clock, in nanoseconds since the epoch."""
        return self._all.now_ns()

    def _costs(self, numbers: dict[str, int]) -> list[int]:
        return [numbers[name] for name, _ in self._parts]


class Call:
    """One call, from its turn on; made by `Budget.spend`.

    If it is not settled, its estimates are what it has spent.
    """

    def __init__(self, budget: Budget, key: Key, costs: dict[str, int]) -> None:
        self._budget = budget
        self._key = key
        self._spent = costs

    def __enter__(self) -> "Call":
        self._budget._all.wait(self._key, timeout=self._budget._timeout, costs=self._budget._costs(self._spent))
        return self

    async def __aenter__(self) -> "Call":
        budget = self._budget
        await budget._all.wait_async(self._key, timeout=budget._timeout, costs=budget._costs(self._spent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave what was spent."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave what was spent."""

    def used(self, **numbers: int) -> None:
        """Correct the estimates by what was used: give back the rest, or spend more, which later calls wait for.

        Args:
            numbers: whole numbers from 0, such as `tokens=812`. Other limits keep their estimate, or the number of an
                earlier correction.
        """
        for name, number in numbers.items():
            if name not in self._spent:
                raise TypeError(f"used: expected the limits {', '.join(self._spent)}, got {name!r}")
            checked_int(number, name, least=0)
        for name, limiter in self._budget._parts:
            if name in numbers:
                _correct(limiter, self._key, numbers[name] - self._spent[name])
        self._spent = self._spent | numbers

    def cancel(self) -> None:
        """Give back all that it has spent, if nothing was sent."""
        self.used(**dict.fromkeys(self._spent, 0))


def _correct(limiter: Limiter, key: Key, more: int) -> None:
    """Spend more, or give back if it is negative. A cost that does not fit now is booked ahead, in parts."""
    if more < 0:
        limiter.refund(key, -more)
    while more > 0:
        part = min(more, limiter.peek(key).limit)
        if not limiter.reserve(key, part):
            return  # blocked: all calls wait until the end of the block
        more -= part
