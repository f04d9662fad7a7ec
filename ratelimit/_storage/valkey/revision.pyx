"""The revision in the header of a table whose metadata the engine keeps: this process's copy of it."""

from libc.stdint cimport uint64_t

from ..._engine.atomics cimport count_load
from ..._engine.constants cimport HEADER_OFFSET
from ..._engine.layout cimport Header


cdef Header* header_of(unsigned char[::1] memory):
    return <Header*>(&memory[0] + HEADER_OFFSET)


def read_revision(memory):
    """Return how often the quota has changed, as far as this process knows."""
    return count_load(&header_of(memory).revision)


def write_revision(memory, uint64_t revision):
    """Make a revision the one in force: limiters on the memory read their quota again."""
    header_of(memory).revision = revision
