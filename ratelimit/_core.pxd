"""The limiter for other Cython packages: decisions without Python objects and without the GIL.

    from ratelimit._core cimport Limiter

    allowed = limiter.spend(limiter.hash_of(key), cost, limiter.read_clock())
"""

from libc.stdint cimport uint64_t

from ._engine.clock cimport now_ns
from ._engine.request cimport DONE, FULL, Status
from ._engine.search cimport fetch
from ._engine.table cimport take
from ._limiter.attachment cimport Attachment, is_stale
from ._limiter.keys cimport hash_key


cdef class Limiter(Attachment):
    pass  # `hash_of`, `read_clock` and `spend` are inherited


cdef inline bint allow(Limiter limiter, object key) except -1:
    """`limiter.allow`. Each algorithm defines it itself, since CPython calls a method fastest on its exact class."""
    cdef Status status
    cdef uint64_t now
    cdef uint64_t hashed = hash_key(limiter.attached.seed, limiter.quick_hash, key)
    fetch(&limiter.attached, hashed)  # while the clock is read
    if is_stale(limiter):
        limiter.refresh()
    now = now_ns(&limiter.attached.header.clock, limiter.anchor) if limiter.read is None else limiter.read_clock()
    status = take(&limiter.attached, limiter.rule, hashed, now, False, 1, True)
    if status == FULL:
        return limiter.allows_when_full(key)
    return status == DONE
