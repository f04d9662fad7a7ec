"""Answers that an engine decides. Compiled, a coroutine would bring 10 KB of Cython's code for it."""

from collections.abc import Awaitable, Callable

from .. import Decision
from .answers import Answer


async def awaited(decision: Awaitable[Decision], answer_to: Callable[[Decision | None], Answer]) -> Answer:
    """Return the answer to a request when its decision has come, or to None if the limiter failed."""
    try:
        found = await decision
    except Exception:
        return answer_to(None)
    return answer_to(found)
