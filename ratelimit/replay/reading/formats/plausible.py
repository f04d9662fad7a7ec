"""Which of several columns holds a field: one whose values look like it, whatever its name."""

from collections.abc import Iterable

import pyarrow as pa

from ...._engine.constants import NS_PER_SECOND as NS
from ..addresses import is_address
from ..timestamps import times_of

SINCE = 631_152_000 * NS  # 1990; a smaller number is a duration


def plausible(field: str, values: Iterable[str | bytes | None]) -> bool:
    """Return whether most of these values can be times, or addresses of clients; of other fields, all can be."""
    texts = [value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value for value in values]
    present = [text for text in texts if text]
    if field == "time":
        good = int((times_of(pa.array(present, pa.binary())) >= SINCE).sum())
    elif field == "client":
        good = sum(map(is_address, present))
    else:
        return True
    return 2 * good > len(present)
