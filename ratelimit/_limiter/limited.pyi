from collections.abc import Callable
from typing import Any

from .._core import _Function, _Key, _Seconds

class Limited:
    """The base of Limiter and All."""

    def limited(
        self,
        *,
        key: Callable[..., _Key] | None = None,
        cost: int | Callable[..., int] = 1,
        wait: bool = False,
        timeout: _Seconds | None = None,
        default: Any = ...,
    ) -> Callable[[_Function], _Function]:
        """Return a decorator that limits the calls of a function or of a coroutine function.

        Args:
            key: a function of the call's arguments that returns the key; by default the name of the decorated function.
            cost: a whole number, or a function of the call's arguments.
            wait: wait until the call is allowed, instead of refusing it.
            timeout: seconds that a call may have to wait.
            default: the value that a refused call returns; by default it raises LimitExceeded.
        """
