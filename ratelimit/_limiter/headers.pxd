from libc.stdint cimport uint64_t


cdef list fields_of(
    bint draft,
    bint legacy,
    bytes policies,
    str name,
    bint allowed,
    uint64_t limit,
    uint64_t remaining,
    uint64_t more,
    uint64_t retry,
)


cdef bytes policy_of(quota)
cdef tuple texts_of(quota)
