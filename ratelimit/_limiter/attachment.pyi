from typing import Any, Literal

from typing_extensions import disjoint_base

from ..table import Table

ENTRY_WORDS: int
QUOTAS_OFFSET: int
COUNTS: tuple[Literal["keep", "scale", "reset"], ...]

@disjoint_base
class Attachment:
    """The base of every limiter. Its class sets `_parameters`: the function that turns a quota into RuleParameters."""

    def _header_faults(self, used: int) -> list[str]: ...
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
