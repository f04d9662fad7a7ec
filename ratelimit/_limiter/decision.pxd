from libc.stdint cimport uint64_t

from .._engine.request cimport Outcome, Request
from .._engine.rule cimport Rule
from .._engine.verdict cimport Verdict


cdef enum Source:  # the place of a decision; the texts are SOURCES
    FROM_TABLE
    FROM_ENGINE
    REMEMBERED
    FALLBACK
    FROM_LEASE


cdef class Decision:
    cdef Verdict verdict
    cdef uint64_t more_after_, spent_
    cdef unsigned char source_
    cdef readonly object limiter
    cdef object limits      # the All that decided, or None
    cdef object own_quotas  # those of this call, for each limiter, or None


cdef Decision decision_of(
    object limiter, const Rule* rule, const Request* request, const Outcome* out, bint allow_when_full, object quota
)

cdef list fields_about(Decision decision, style)
