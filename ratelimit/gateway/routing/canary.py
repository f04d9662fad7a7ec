"""A share of the traffic for another deployment."""

import random
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class CanarySplit(Generic[T]):
    """Chooses between two variants; usable alone.

        CanarySplit(stable, canary, percent=5.0).choose()

    Args:
        base, canary: the variants; without a canary the base is always chosen.
        percent: the canary's share, from 0.0 to 100.0, by chance for each request.
        chance: gives numbers from 0.0 up to 1.0.

    Raises: ValueError for another percent.
    """

    def __init__(
        self, base: T, canary: T | None = None, percent: float = 0.0, chance: Callable[[], float] = random.random
    ) -> None:
        if not 0 <= percent <= 100:
            raise ValueError(f"percent: expected from 0 to 100, got {percent!r}")
        self.base = base
        self.canary = canary
        self.percent = percent
        self._chance = chance

    def choose(self) -> T:
        """Return the variant for one request."""
        if self.canary is None or not self.percent or self._chance() * 100 >= self.percent:
            return self.base
        return self.canary
