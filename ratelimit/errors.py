"""The errors beyond wrong arguments, and the wording of messages."""

from collections.abc import Iterable

LONGEST_SHOWN = 200  # characters of a text in an error message


class RateLimitError(Exception):
    """Base of the errors of this library that are neither TypeError nor ValueError."""


class TableFull(RateLimitError):
    """Every slot that the key could take belongs to a live key (`max_keys` is too small)."""


class TableUnreachable(RateLimitError):
    """The engine that keeps the table did not answer in time, or refused. It may have carried out the request."""


class LimitExceeded(RateLimitError):
    """A call of a function with the decorator `limited` was refused.

    Attributes:
        retry_after: seconds until the same call would be allowed; inf if it never is.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type["LimitExceeded"], tuple[str, float]]:
        return type(self), (str(self), self.retry_after)


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


def shortened(text: str) -> str:
    """Return a text in quotes, short enough for an error message."""
    return repr(text) if len(text) <= LONGEST_SHOWN else f"{text[:60]!r}... of {len(text)} characters"


def unknown(what: str, given: str, choices: Iterable[str]) -> str:
    """Return the message for a word that is not one of the choices."""
    known = list(choices)
    from difflib import get_close_matches

    near = get_close_matches(given[:LONGEST_SHOWN].lower(), known, 1)
    suggestion = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {shortened(given)} (choose from {', '.join(known)}){suggestion}"


def check_choice(given: object, argument: str, choices: Iterable[str]) -> None:
    """Check an argument that is one of several words.

    Raises:
        ValueError: naming the argument and the choices.
    """
    if not isinstance(given, str) or given not in choices:
        raise ValueError(f"{argument}: expected one of {', '.join(map(repr, choices))}, got {given!r}")
