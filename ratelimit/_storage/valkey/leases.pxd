"""The leases of a host: what an engine has granted in advance, for all processes of the host to spend.

The memory is an array of lines of 64 bytes, in groups of four. The hash of a key selects a group, and a key may have
several leases there. A lease is one word, which changes only by a compare-and-swap:

    tag (48 bits) | until (52 bits) | held (1 bit) | left (27 bits)

`until` is the end of the lease on the host's monotonic clock, in units of 1,024 nanoseconds. The word of a refusal has
the bit `held` and nothing left: the engine refuses the key until then.

The rest of a line is advice, which no promise depends on: how a lease came to be, and what the engine had left. So it
is written without care for other processes. A process that dies anywhere leaves a lease that ends by itself.
"""

from libc.stdint cimport uint64_t

from ..._engine.atomics cimport count_load, count_swap, u128, word_cas, word_load

cdef struct Line:
    u128 word
    uint64_t asking   # until when a process may be asking for more, in nanoseconds; 0: no process
    uint64_t since    # when the lease was asked for
    uint64_t size     # what was spent and granted by that request
    uint64_t left     # what the engine had left, at that moment
    uint64_t more_at  # when that grows
    uint64_t fresh_at  # when the key will be like one never seen

cdef enum:
    GROUP = 4           # lines that may have the leases of a key
    UNIT_BITS = 10      # of `until`, in nanoseconds
    UNTIL_BITS = 52
    LEFT_BITS = 27
    MOST_LEFT = (1 << LEFT_BITS) - 1
    ABANDONED_AFTER = 58_593_750  # units, a minute: by then a process has given a lease back, or is dead

cdef enum Found:
    NONE      # ask the engine
    SPENT
    HELD      # the engine refuses the key

cdef struct Lease:
    Line* line
    u128 word  # as it is after spending


cdef inline uint64_t tag_of(u128 word) noexcept nogil:
    return <uint64_t>(word >> (UNTIL_BITS + 1 + LEFT_BITS))


cdef inline uint64_t until_of(u128 word) noexcept nogil:
    return <uint64_t>(word >> (1 + LEFT_BITS)) & ((<uint64_t>1 << UNTIL_BITS) - 1)


cdef inline bint is_held(u128 word) noexcept nogil:
    return (<uint64_t>word >> LEFT_BITS) & 1


cdef inline uint64_t left_of(u128 word) noexcept nogil:
    return <uint64_t>word & MOST_LEFT


cdef inline u128 lease_word(uint64_t tag, uint64_t until, bint held, uint64_t left) noexcept nogil:
    return ((<u128>tag << UNTIL_BITS | until) << 1 | held) << LEFT_BITS | left


cdef inline bint is_over(u128 word, uint64_t now, uint64_t longest) noexcept nogil:
    """Return whether the lease has ended, rounded to the strict side. One that would last too long is damaged."""
    cdef uint64_t until = until_of(word), unit = now >> UNIT_BITS
    return unit >= until or until - unit > longest


cdef inline bint is_abandoned(u128 word, uint64_t now, uint64_t longest) noexcept nogil:
    """Return whether the lease ended so long ago that no process gives it back, or is damaged."""
    cdef uint64_t until = until_of(word), unit = now >> UNIT_BITS
    return unit - until >= ABANDONED_AFTER if unit >= until else until - unit > longest


cdef inline Found spend_here(
    Line* group, uint64_t tag, uint64_t cost, uint64_t now, uint64_t longest, Lease* lease
) noexcept nogil:
    """Spend from the lease that ends first of those that have enough left; start again if another thread was faster."""
    cdef u128 word, best
    cdef Line* line
    cdef bint held
    cdef int i
    while True:
        lease.line = NULL
        best = 0
        held = False
        for i in range(GROUP):
            line = group + i
            word = word_load(&line.word)
            if tag_of(word) != tag or is_over(word, now, longest):
                continue
            if is_held(word):
                held = True
                lease.word = word
                if lease.line == NULL:
                    lease.line = line
            elif left_of(word) >= cost and (best == 0 or until_of(word) < until_of(best)):
                best = word
                lease.line = line
        if best == 0:
            return HELD if held and cost == 1 else NONE
        lease.word = best - cost
        if word_cas(&lease.line.word, &best, lease.word):
            return SPENT


cdef inline uint64_t tag_of_hash(uint64_t hashed) noexcept nogil:
    return hashed & ((<uint64_t>1 << 48) - 1) or 1


cdef class Leases:
    cdef object memory        # the array that owns the bytes
    cdef Line* lines
    cdef uint64_t groups
    cdef uint64_t[2] made_with
    cdef uint64_t[2] seed     # of the hash, different for each revision
    cdef uint64_t longest     # of any lease or refusal, in units
    cdef readonly uint64_t length    # of a lease, in nanoseconds
    cdef readonly uint64_t revision  # of the quota

    cdef Line* group_of(self, uint64_t hashed) noexcept nogil
    cdef Line* newest(self, uint64_t hashed) noexcept nogil
    cdef Line* usable(self, uint64_t hashed, uint64_t now, u128* seen) noexcept nogil
    cdef Line* put(self, uint64_t hashed, uint64_t now, u128 word) noexcept nogil
    cdef uint64_t left(self, uint64_t hashed, uint64_t now, bint in_all) noexcept nogil


cdef inline Found spend(Leases leases, uint64_t hashed, uint64_t cost, uint64_t now, Lease* lease) noexcept nogil:
    """Spend on this host, if a lease of the key has enough left."""
    return spend_here(leases.group_of(hashed), tag_of_hash(hashed), cost, now, leases.longest, lease)
