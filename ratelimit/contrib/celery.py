"""Limits for Celery tasks, over all worker processes: a task that is over the limit goes back into the queue.

    @app.task
    @RateLimit("10/minute", key=lambda user: user, shared="mails")
    def send_mail(user): ...

The task books its turn and returns to the queue with exactly the time until then as its countdown, once. No process
waits, and no task tries in vain.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from math import inf
from typing import Any

import celery
from celery.exceptions import Retry

from .._core import Limiter
from ..errors import CostExceedsLimit, LimitExceeded, WaitTimeout
from ..limiters.composite import All
from ..quota import checked_int
from ._applications import application_name
from ._policy import Guard, Key, Limiters, check_function, check_own, checked_seconds
from ._rules import check_limit, scoped

DEPTH = "_ratelimit_depth"  # of a function that is limited several times
TURN = "ratelimit_turns"  # the header of a message: for each limit the retry in which its turn has been booked


class RateLimit:
    """A decorator of tasks, which is placed below `@app.task`. Tasks with the same object share a limit.

    Args:
        limit: a text such as "10/minute; 100/hour", a limiter, or a function of the task's arguments that returns
            either, or None for no limit.
        key: a function of the task's arguments that returns what is limited: str, bytes or int. By default, all calls.
        cost: a whole number, or a function of the task's arguments.
        shared: a name in shared memory, in which all worker processes of the host count together. By default, a name
            that only the program with the first task of this object has, for each user. A limiter that was given as
            `limit` counts in its own table.
        max_wait: seconds. A task whose turn is later fails with WaitTimeout, and does not use the limit.
        fail_open: run tasks if the limiter fails; otherwise they fail with its error.
        clock: for tests; the limit then counts in this process only.
        max_keys: as for every limiter.

    Raises:
        TypeError, ValueError: an argument is not possible.

    A task that goes back into the queue has the state RETRY; this does not count as one of its `max_retries`. A task
    whose cost exceeds the limit fails with CostExceedsLimit. A direct call of a task cannot go into the queue: beyond
    the limit it raises LimitExceeded.
    """

    def __init__(
        self,
        limit: Any,
        *,
        key: Callable[..., Key] | None = None,
        cost: int | Callable[..., int] = 1,
        shared: str | None = None,
        max_wait: float | None = None,
        fail_open: bool = True,
        clock: Any = None,
        max_keys: int | None = None,
    ) -> None:
        check_limit(limit)
        check_function("key", key)
        check_own(limit, shared=shared, clock=clock, max_keys=max_keys)
        self._limit = limit
        self._key = key
        self._cost = cost if callable(cost) else checked_int(cost, "cost")
        self._max_wait = checked_seconds(max_wait, "max_wait")
        self._guard = Guard(fail_open=fail_open)
        self._clock, self._max_keys = clock, max_keys
        limiters = Limiters(shared, clock=clock, max_keys=max_keys)
        self._limiters = None if shared is None and clock is None else limiters  # the module names those of its own
        self._scope = ""

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Limit the function of a task."""
        outer = getattr(function, DEPTH, 0)  # the limits between this one and the function itself
        if not self._scope:
            self._scope = f"{function.__module__}.{function.__qualname__}" + (f"#{outer}" if outer else "")
        if self._limiters is None:
            self._limiters = Limiters(application_name(function.__module__), max_keys=self._max_keys)

        @wraps(function)
        def limited(*args: Any, **kwargs: Any) -> Any:
            self._wait_for_turn(args, kwargs)
            return function(*args, **kwargs)

        setattr(limited, DEPTH, outer + 1)
        setattr(limited, "__signature__", inspect.signature(function))  # noqa: B010  (by which Celery checks calls)
        return limited

    def clear(self) -> None:
        """Forget all keys, for tests. A limiter that was given as `limit` is cleared, too."""
        if self._limiters is not None:
            self._limiters.clear()
        if isinstance(self._limit, (Limiter, All)):
            self._limit.clear()

    def _wait_for_turn(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Return if it is the task's turn, and otherwise put the task into the queue until then, by raising Retry."""
        task: Any = celery.current_task
        if args and isinstance(args[0], celery.Task):  # bind=True
            args = args[1:]
        in_queue = bool(task) and not task.request.called_directly
        turns = (task.request.headers or {}).get(TURN, {}) if in_queue else {}
        if in_queue and turns.get(self._scope) == task.request.retries:
            return
        limit = self._limit(*args, **kwargs) if callable(self._limit) else self._limit
        if limit is None or self._limiters is None:
            return
        limiter = self._limiters.get(limit)
        key = self._scope if self._key is None else self._key(*args, **kwargs)
        if self._key is not None and limiter is not limit:
            key = scoped(self._scope, key)
        cost = self._cost(*args, **kwargs) if callable(self._cost) else self._cost
        try:
            turn = limiter.reserve(key, cost, max_delay=self._max_wait if in_queue else 0)
        except (TypeError, ValueError):
            raise
        except Exception:
            self._guard.report(limiter)
            if not self._guard.fail_open:
                raise
            return
        if turn.allowed and turn.delay <= 0:
            return
        if turn.delay == inf:
            raise CostExceedsLimit(f"cost: expected at most what {limiter} allows at once, got {cost}")
        if not in_queue:
            raise LimitExceeded(f"the task is limited for {turn.delay:.3g} s", turn.delay)
        if self._max_wait is not None and turn.delay > self._max_wait:
            raise WaitTimeout(f"the turn of the task is in {turn.delay:.3g} s, max_wait={self._max_wait}", turn.delay)
        try:
            retry = _requeue(task, turn.delay, turns, self._scope if turn.allowed else None)
        except Exception:
            turn.cancel()
            raise
        raise retry


def _requeue(task: Any, delay: float, turns: dict[str, int], booked: str | None) -> Retry:
    """Send the task into the queue, and return the exception that ends this run."""
    request = task.request
    if booked is not None:
        # Celery counts a retry of an eager task, and a task that is sent has the number that it is given.
        turns = turns | {booked: request.retries + 1 if request.is_eager else request.retries}
    headers = (request.headers or {}) | {TURN: turns}
    signature = task.signature_from_request(request, countdown=delay, retries=request.retries, headers=headers)
    if not request.is_eager:
        signature.apply_async()
    return Retry("the task waits for its turn", when=delay, is_eager=request.is_eager, sig=signature)
