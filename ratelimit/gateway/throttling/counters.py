"""Numbers that all workers of a gateway count together."""

from fractions import Fraction

from ... import Limiter, Quota

# A counter is a key of a limiter whose only window lasts from 1970 to 2116: what is spent of it is the count.
FOREVER_SECONDS = Fraction(2**62 // 1_000, 10**6)
FOREVER = Quota(2**62, FOREVER_SECONDS)
FOREVER_ON_ENGINE = Quota(2**52 - 1, FOREVER_SECONDS)  # the most that an engine counts exactly


class Counters:
    """Counters by name, which begin at 0. As many processes share them as share the limiter's table.

    Args:
        limiter: a FixedWindow whose quota is `FOREVER` or `FOREVER_ON_ENGINE`.
    """

    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter

    def read(self, name: str) -> int:
        """Return the count; 0 for a name for which a full table has no room."""
        decision = self.limiter.peek(name)
        count = int(decision.limit - decision.remaining)
        return count if count < decision.limit else 0  # a full table answers that nothing remains

    def add(self, name: str, amount: int = 1) -> bool:
        """Add to the count; False where a full table has no room for it."""
        return self.limiter.hit(name, amount).allowed

    def set_once(self, name: str, value: int) -> None:
        """Set a count that is still 0. Of several processes that do so at once, one sets it."""
        self.limiter.hit(name, value, quota=Quota(value, FOREVER_SECONDS))  # a second one exceeds this quota

    def reset(self, name: str) -> None:
        """Set the count to 0 and free its slot."""
        self.limiter.reset(name)
