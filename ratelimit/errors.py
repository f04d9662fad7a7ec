"""The errors of limits, beyond wrong arguments."""


class RateLimitError(Exception):
    """Base of this library's errors that are not a TypeError or ValueError."""


class TableFull(RateLimitError):
    """Every slot that the key could take belongs to a live key (`max_keys` is too small)."""


class WaitError(RateLimitError):
    """A wait cannot succeed; nothing was spent."""


class CostExceedsLimit(WaitError):
    """The cost is more than the limit ever allows at once."""


class WaitTimeout(WaitError, TimeoutError):
    """The turn comes later than the timeout; raised immediately, not after it.

    Attributes:
        delay: the seconds that the wait would have taken.
    """

    def __init__(self, message: str, delay: float) -> None:
        super().__init__(message)
        self.delay = delay

    def __reduce__(self) -> tuple[type["WaitTimeout"], tuple[str, float]]:
        return type(self), (str(self), self.delay)


class CorruptTable(ValueError):
    """The file or shared memory is not a ratelimit table, or is damaged. It is not modified."""
