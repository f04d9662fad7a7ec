"""The interface of a format."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .fields import PARTS


@dataclass
class Rows:
    """The rows that could be read.

    Attributes:
        fields: by name; an Arrow array of bytes, null where the row has no such field.
        lines: for each row the index of its (last) line.
        parts: indices of other lines that belong to rows.
    """

    fields: dict[str, Any]
    lines: NDArray[np.int64]
    parts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


class Format:
    """How to find the fields of lines.

    Attributes:
        name: as messages and `--format` call it.
        taken: for each field that was asked for, the names under which the log has it.
    """

    name: str
    taken: dict[str, str]

    def rows(self, lines: Any, wanted: Iterable[str]) -> Rows:
        """Read these fields of lines: an Arrow array of bytes, null where there is nothing to read.

        Lines that cannot be read are left out. A field that the log does not have is null in every row.
        """
        raise NotImplementedError

    def names(self) -> list[str]:
        """Return the fields of the log, for messages."""
        raise NotImplementedError

    def has(self, field: str) -> bool:
        """Whether a line can have this field."""
        raise NotImplementedError

    def is_directive(self, line: bytes) -> bool:
        """Whether a line describes the log, and is not a request."""
        return False


def part_of(field: str, column: Any) -> Any:
    """Return the part of a column that the field means: of "GET / HTTP/1.1", for instance, the method."""
    if field not in PARTS:
        return column
    return pc.struct_field(pc.extract_regex(column, PARTS[field]), "part")


def nulls(size: int) -> Any:
    return pa.nulls(size, pa.binary())
