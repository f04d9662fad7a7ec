"""A copy of a table for a command that only looks: it takes no memory of the table, and no write permission."""

import os
from collections.abc import Callable

import numpy as np

from .._engine.constants import PAGE_BYTES
from .files import data_ranges, missing, opened
from .memory import Bytes, MappedFile, Storage, private_bytes, session_of
from .metadata import bytes_of_slots


class Snapshot(Storage):
    """The bytes of a file as they are when it is opened, without the rings of a sliding log.

    The file is read and not mapped, so holes stay holes, and its owner cannot end this process by truncating it.
    Therefore it may belong to any user.

    Args:
        descriptor: of the file, if it is open; it is then read with the rings.
    """

    def __init__(self, original: MappedFile, descriptor: int | None = None) -> None:
        self.original = original
        self.path = original.path
        self.descriptor = descriptor

    def open(self) -> Bytes:
        if self.descriptor is not None:
            return self._read(self.descriptor, with_rings=True)
        try:
            with opened(self.original.path, os.O_RDONLY, any_owner=True) as descriptor:
                return self._read(descriptor, with_rings=False)
        except FileNotFoundError:
            raise missing(self) from None

    def _read(self, descriptor: int, with_rings: bool) -> Bytes:
        status = os.fstat(descriptor)
        size, self.session = status.st_size, session_of(status)
        if size < PAGE_BYTES:
            return np.zeros(size, np.uint8)
        first = os.pread(descriptor, PAGE_BYTES, 0)
        memory = private_bytes(size)
        used = size if with_rings else bytes_of_slots(np.frombuffer(first, np.uint8), size)
        self.data = data_ranges(descriptor, size)
        for at, end in self.data:
            end = min(end, used)
            while at < end and (count := os.preadv(descriptor, [memory[at:end].data], at)) > 0:
                at += count
        return memory

    def open_or_create(self, size: int, initialize: Callable[[Bytes], None]) -> Bytes:
        return self.open()

    def remove(self) -> None:
        self.original.remove()

    def __repr__(self) -> str:
        return repr(self.original)
