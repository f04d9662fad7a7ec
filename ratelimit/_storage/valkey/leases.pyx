"""The revision of the quota of a table in an engine, and the leases of its host.

`leases.pxd` describes the memory of the leases, and has the functions of every decision.
"""

from cpython.buffer cimport PyBUF_WRITABLE
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from ..._engine.arrays cimport data_of
from ..._engine.atomics cimport count_load, count_swap, u128, word_cas, word_load
from ..._engine.constants cimport HEADER_OFFSET
from ..._engine.layout cimport Header

import os

GROUPS = 4096
LINE_BYTES = 64
SIZE = LINE_BYTES * (1 + GROUP * GROUPS)  # bytes; the first line has the seed of the hash
CLOCK_TOLERANCE = 20_000  # nanoseconds, by which the clocks of two processes never differ

cdef enum:
    ATTEMPTS = 16  # to find a line, while other threads take them


cdef Header* header_of(object memory) except NULL:
    return <Header*>(data_of(memory, PyBUF_WRITABLE) + HEADER_OFFSET)


def read_revision(memory):
    """Return how often the quota has changed, as far as this process knows."""
    return count_load(&header_of(memory).revision)


def write_revision(memory, uint64_t revision):
    """Make a revision the one in force: limiters on the memory read their quota again."""
    header_of(memory).revision = revision


def initialize(memory):
    """Write the seed of new leases."""
    memory[:16] = bytearray(os.urandom(16))


cdef class Leases:
    """The leases of one table on this host.

    Args:
        memory: SIZE bytes, all zero but for the seed; shared by all processes of the host.
        length: of a lease, in nanoseconds.
        longest: of a refusal that is kept, in nanoseconds.

    Moments are nanoseconds of the host's monotonic clock, and keys are hashes of 64 bits.

    Thread-safety: every method may be called from any thread and process.
    """

    def __cinit__(self, memory, uint64_t length, uint64_t longest):
        cdef char* data = data_of(memory, PyBUF_WRITABLE)
        if len(memory) != SIZE or <size_t>data % 16:
            raise ValueError(f"memory: expected {SIZE} aligned bytes, got {len(memory)}")
        self.memory = memory
        self.lines = <Line*>data + 1
        self.groups = GROUPS
        memcpy(self.made_with, data, sizeof(self.made_with))
        self.length = length
        self.longest = (max(length, longest) >> UNIT_BITS) + 1
        self.follow(0)

    def follow(self, uint64_t revision):
        """Leave the leases of other revisions of the quota alone: they end by themselves."""
        self.seed[0] = self.made_with[0]
        self.seed[1] = self.made_with[1] ^ revision
        self.revision = revision

    cdef Line* group_of(self, uint64_t hashed) noexcept nogil:
        return self.lines + GROUP * <uint64_t>((<u128>hashed * self.groups) >> 64)

    cdef Line* newest(self, uint64_t hashed) noexcept nogil:
        """Return the line of the key's latest request to the engine, or NULL."""
        cdef Line* group = self.group_of(hashed)
        cdef Line* found = NULL
        cdef int i
        for i in range(GROUP):
            if tag_of(word_load(&group[i].word)) == tag_of_hash(hashed) and (
                found == NULL or group[i].since > found.since
            ):
                found = group + i
        return found

    cdef uint64_t left(self, uint64_t hashed, uint64_t now, bint in_all) noexcept nogil:
        """Return what the key's leases have left in all, or the most that one of them has."""
        cdef Line* group = self.group_of(hashed)
        cdef uint64_t left = 0
        cdef u128 word
        cdef int i
        for i in range(GROUP):
            word = word_load(&group[i].word)
            if tag_of(word) == tag_of_hash(hashed) and not is_over(word, now, self.longest):
                left = left + left_of(word) if in_all else max(left, left_of(word))
        return left

    def spend(self, uint64_t hashed, uint64_t cost, uint64_t now):
        """Spend from a lease; return whether that was done, or None if the engine refuses the key for now."""
        cdef Lease lease
        cdef Found found = spend(self, hashed, cost, now, &lease)
        return None if found == HELD else found == SPENT

    def remaining(self, uint64_t hashed, uint64_t now):
        """Return what the key's leases have left in all."""
        return self.left(hashed, now, True)

    def wanted(self, uint64_t hashed, uint64_t cost, uint64_t now):
        """Return how much to take in advance with a request: what the host spends in the length of a lease.

        That is measured since the key's latest request, and the whole request is at most twice that one. A key that is
        not asked for again within that time gets nothing in advance.
        """
        cdef Line* line = self.newest(hashed)
        cdef uint64_t size, spent, passed, want
        if line == NULL:
            return 0
        size = min(line.size, <uint64_t>MOST_LEFT)
        spent = size - min(size, self.left(hashed, now, True))
        passed = now - line.since if now > line.since else 1
        want = min(<uint64_t>(<u128>spent * self.length // passed), 2 * size, <uint64_t>MOST_LEFT)
        return want - cost if want > cost else 0

    def begin_asking(self, uint64_t hashed, uint64_t now, uint64_t end):
        """Return whether this process may ask for more. Until it ends that, or until `end`, no other process does."""
        cdef Line* line = self.newest(hashed)
        cdef uint64_t seen
        if line == NULL:
            return False
        seen = count_load(&line.asking)
        return (seen <= now or seen > now + (self.longest << UNIT_BITS)) and count_swap(&line.asking, seen, end)

    def end_asking(self, uint64_t hashed, uint64_t end, uint64_t now=0):
        """End what began with `end`, at once or at another moment."""
        cdef Line* group = self.group_of(hashed)
        cdef int i
        for i in range(GROUP):
            count_swap(&group[i].asking, end, now)

    def deadline(self, uint64_t sent, uint64_t window=0):
        """Return until when what was asked for at `sent` may be spent.

        Args:
            window: what was left of the window when the engine decided; 0 without windows.
        """
        cdef uint64_t length = min(self.length, window) if window else self.length
        # the engine's clock may be faster by one in a thousand, or the processes' clocks differ
        return sent + length - min(length, length // 1024 + CLOCK_TOLERANCE)

    def add(
        self, uint64_t hashed, uint64_t now, uint64_t until, uint64_t amount, uint64_t since, uint64_t size,
        uint64_t left=0, uint64_t more_at=0, uint64_t fresh_at=0
    ):
        """Put a lease into the table; return what identifies it, to take it back, or None if there is no line for it.

        Args:
            until, amount: of the lease.
            since, size: when it was asked for, and how much was spent and granted.
            left, more_at, fresh_at: what the engine had left, when that grows, and when the key will be like new.
        """
        cdef uint64_t tag = tag_of_hash(hashed)
        cdef Line* line = self.put(hashed, now, lease_word(tag, until >> UNIT_BITS, False, amount))
        if line == NULL:
            return None
        line.since, line.size, line.left, line.more_at, line.fresh_at = since, size, left, more_at, fresh_at
        return line - self.lines, tag, until >> UNIT_BITS

    def hold(self, uint64_t hashed, uint64_t now, uint64_t until, uint64_t more_at=0, uint64_t fresh_at=0):
        """Refuse requests of cost 1 until then, if no lease has anything left."""
        cdef uint64_t end = min(until >> UNIT_BITS, (now >> UNIT_BITS) + self.longest)
        cdef Line* line = self.put(hashed, now, lease_word(tag_of_hash(hashed), end, True, 0))
        if line != NULL:
            line.left, line.more_at, line.fresh_at = 0, more_at, fresh_at

    cdef Line* put(self, uint64_t hashed, uint64_t now, u128 word) noexcept nogil:
        """Write a word into a line of the key's group, or return NULL if all are in use."""
        cdef Line* line
        cdef u128 seen
        for _ in range(ATTEMPTS):
            line = self.usable(hashed, now, &seen)
            if line == NULL:
                return NULL
            if tag_of(seen) != tag_of(word):
                line.since, line.size = 0, 0
            if word_cas(&line.word, &seen, word):
                return line
        return NULL

    cdef Line* usable(self, uint64_t hashed, uint64_t now, u128* seen) noexcept nogil:
        """Return the line that a new word of the key may replace, and its word.

        A lease that is replaced loses what it has left. So one that has something left is replaced only long after its
        end: the process that was granted it gives that back, late if the machine is busy.
        """
        cdef Line* group = self.group_of(hashed)
        cdef Line* found = NULL
        cdef int i, rank, best = 5
        cdef u128 word
        for i in range(GROUP):
            word = word_load(&group[i].word)
            if tag_of(word) == tag_of_hash(hashed) and left_of(word) == 0:
                rank = 0
            elif word == 0:
                rank = 1
            elif left_of(word) == 0:
                rank = 2 if is_over(word, now, self.longest) else 3
            else:
                rank = 4 if is_abandoned(word, now, self.longest) else 5
            if rank < best:
                best, found, seen[0] = rank, group + i, word
        return found

    def take(self, uint64_t place, uint64_t tag, uint64_t until):
        """Return what a lease had left, and leave nothing to spend. The arguments identify it, see `add`."""
        cdef Line* line = self.lines + place
        cdef u128 word = word_load(&line.word)
        while tag_of(word) == tag and until_of(word) == until and not is_held(word):
            if word_cas(&line.word, &word, word - left_of(word)):
                return left_of(word)
        return 0

    def count(self, uint64_t hashed, uint64_t cost):
        """Count what was spent without a lease while another process asks for more; False for a key without a line."""
        cdef Line* line = self.newest(hashed)
        if line == NULL:
            return False
        line.size += cost
        return True

    def correct(self, uint64_t hashed, uint64_t left):
        """Record what the engine has left."""
        cdef Line* line = self.newest(hashed)
        if line != NULL:
            line.left = left

    def forget(self, uint64_t hashed, bint refusals_only=False):
        """Forget the refusal of a key, and its leases unless only that is meant."""
        cdef Line* group = self.group_of(hashed)
        cdef u128 word
        cdef int i
        for i in range(GROUP):
            word = word_load(&group[i].word)
            while tag_of(word) == tag_of_hash(hashed) and (is_held(word) or not refusals_only):
                if word_cas(&group[i].word, &word, 0):
                    break
