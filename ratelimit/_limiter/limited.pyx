"""The methods of both Limiter and All."""

from . import decorator


cdef class Limited:
    """The base of Limiter and All."""

    def limited(self, *, key=None, cost=1, wait=False, timeout=None, default=...):
        """Return a decorator that limits the calls of a function or of a coroutine function.

        Args:
            key: a function of the call's arguments that returns the key; by default the name of the decorated function.
            cost: a whole number, or a function of the call's arguments.
            wait: wait until the call is allowed, instead of refusing it.
            timeout: seconds that a call may have to wait.
            default: the value that a refused call returns; by default it raises LimitExceeded.
        """
        return decorator.limit_calls(self, key, cost, wait, timeout, default)
