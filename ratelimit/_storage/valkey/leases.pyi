from typing import Self

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

GROUPS: int
LINE_BYTES: int
SIZE: int
CLOCK_TOLERANCE: int

def initialize(memory: npt.NDArray[np.uint8]) -> None:
    """Write the seed of new leases."""

@disjoint_base
class Leases:
    """The leases of one table on this host.

    Args:
        memory: SIZE bytes, all zero but for the seed; shared by all processes of the host.
        length: of a lease, in nanoseconds.
        longest: of a refusal that is kept, in nanoseconds.

    Moments are nanoseconds of the host's monotonic clock, and keys are hashes of 64 bits.

    Thread-safety: every method may be called from any thread and process.
    """

    length: int
    revision: int
    def __new__(cls, memory: npt.NDArray[np.uint8], length: int, longest: int) -> Self: ...
    def follow(self, revision: int) -> None:
        """Leave the leases of other revisions of the quota alone: they end by themselves."""
    def spend(self, hashed: int, cost: int, now: int) -> bool | None:
        """Spend from a lease; return whether that was done, or None if the engine refuses the key for now."""
    def remaining(self, hashed: int, now: int) -> int:
        """Return what the key's leases have left in all."""
    def wanted(self, hashed: int, cost: int, now: int) -> int:
        """Return how much to take in advance with a request: what the host spends in the length of a lease.

        That is measured since the key's latest request, and the whole request is at most twice that one. A key that is
        not asked for again within that time gets nothing in advance.
        """
    def begin_asking(self, hashed: int, now: int, end: int) -> bool:
        """Return whether this process may ask for more. Until it ends that, or until `end`, no other process does."""
    def end_asking(self, hashed: int, end: int, now: int = 0) -> None:
        """End what began with `end`, at once or at another moment."""
    def deadline(self, sent: int, window: int = 0) -> int:
        """Return until when what was asked for at `sent` may be spent.

        Args:
            window: what was left of the window when the engine decided; 0 without windows.
        """
    def add(
        self,
        hashed: int,
        now: int,
        until: int,
        amount: int,
        since: int,
        size: int,
        left: int = 0,
        more_at: int = 0,
        fresh_at: int = 0,
    ) -> tuple[int, int, int] | None:
        """Put a lease into the table; return what identifies it, to take it back, or None if there is no line for it.

        Args:
            until, amount: of the lease.
            since, size: when it was asked for, and how much was spent and granted.
            left, more_at, fresh_at: what the engine had left, when that grows, and when the key will be like new.
        """
    def hold(self, hashed: int, now: int, until: int, more_at: int = 0, fresh_at: int = 0) -> None:
        """Refuse requests of cost 1 until then, if no lease has anything left."""
    def take(self, place: int, tag: int, until: int) -> int:
        """Return what a lease had left, and leave nothing to spend. The arguments identify it, see `add`."""
    def count(self, hashed: int, cost: int) -> bool:
        """Count what was spent without a lease while another process asks for more; False for a key without a line."""
    def correct(self, hashed: int, left: int) -> None:
        """Record what the engine has left."""
    def forget(self, hashed: int, refusals_only: bool = False) -> None:
        """Forget the refusal of a key, and its leases unless only that is meant."""
