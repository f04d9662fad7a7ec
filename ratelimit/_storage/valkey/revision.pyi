from ..memory import Bytes

def read_revision(memory: Bytes) -> int:
    """Return how often the quota has changed, as far as this process knows."""

def write_revision(memory: Bytes, revision: int) -> None:
    """Make a revision the one in force: limiters on the memory read their quota again."""
