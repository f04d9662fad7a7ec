from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

from ..table import Table
from .limited import Limited

ENTRY_WORDS: int
PYTHON_HASH_IS_SECRET: bool
QUOTAS_OFFSET: int
COUNTS: tuple[Literal["keep", "scale", "reset"], ...]

@disjoint_base
class Attachment(Limited):
    """The base of every limiter. Its class sets `_parameters`: the function that turns a quota into RuleParameters."""

    def _header_faults(self, used: int) -> list[str]: ...
    def _levels(self) -> list[tuple[int, int, int]]: ...
    def _remedy(self, wanted: Any) -> str: ...
    @property
    def clock(self) -> Any:
        """The clock that was given, or None."""
    @property
    def on_full(self) -> Literal["deny", "allow", "raise"]:
        """The decision for a new key when every slot is live."""
    @property
    def table(self) -> Table:
        """The Table that stores the keys."""
    def slots(self) -> npt.NDArray[np.void]:
        """Return the live slots that are in use: a read-only structured array with a row for each.

        Fields: `tag` (0: never used; 1: free again; otherwise of a key), `state` and `state_high`, the low 64 and the
        next 16 bits of the state, of which the highest marks a slot that is being claimed.
        """
    @property
    def latest_ns(self) -> int:
        """The moment of the latest decision by the library's clock, to within a second; 0 before the first."""
    @property
    def full_count(self) -> int:
        """How many decisions found no slot for their key."""
    @property
    def claim_count(self) -> int:
        """How many slots were claimed for new keys, roughly: a repaired header counts on from a higher number."""
    @property
    def collision_count(self) -> int:
        """How many updates were repeated because another thread had changed the slot."""
