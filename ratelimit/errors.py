"""What can go wrong with a limit, beyond wrong arguments."""


class RateLimitError(Exception):
    """Base of the errors of this library that are no TypeError or ValueError."""


class TableFull(RateLimitError):
    """Every slot that the key could take belongs to a key that still counts (`max_keys` is too small)."""


class WaitError(RateLimitError):
    """A wait that cannot succeed; nothing was spent."""


class CostExceedsLimit(WaitError):
    """The cost is more than the limit ever allows at once."""


class WaitTimeout(WaitError, TimeoutError):
    """The turn comes later than the timeout; raised at once, not after it.

    Attributes:
        delay: seconds that the wait would have taken.
    """

    def __init__(self, message: str, delay: float) -> None:
        super().__init__(message)
        self.delay = delay

    def __reduce__(self) -> tuple[type["WaitTimeout"], tuple[str, float]]:
        return type(self), (str(self), self.delay)
