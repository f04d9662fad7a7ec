"""Spending what is left, up to an amount."""

from typing import Any, Protocol

from ..quota import checked_int
from .decision import Decision


class Takeable(Protocol):
    """A limiter, or several as one, as far as taking needs it."""

    def hit(self, key: Any, cost: int = 1, **options: Any) -> Decision: ...
    def peek(self, key: Any, cost: int = 1, **options: Any) -> Decision: ...


def take(limiter: Takeable, key: Any, most: int, **options: Any) -> Decision:
    """Spend what remains, at most `most`, as one request; try again if another request was faster."""
    most = checked_int(most, "most")
    while True:
        amount = min(most, max(1, limiter.peek(key, **options).remaining))
        decision = limiter.hit(key, amount, **options)
        if decision.allowed or amount == 1:
            return decision


async def take_async(limiter: Any, key: Any, most: int, **options: Any) -> Decision:
    """Do what `take` does, without blocking the event loop."""
    most = checked_int(most, "most")
    while True:
        amount = min(most, max(1, (await limiter.peek_async(key, **options)).remaining))
        decision: Decision = await limiter.hit_async(key, amount, **options)
        if decision.allowed or amount == 1:
            return decision
