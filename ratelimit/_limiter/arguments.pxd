from libc.stdint cimport uint64_t


cdef uint64_t checked_moment(object value, str name) except? 0
cdef uint64_t checked_cost(object value, str name, uint64_t least=?) except? 0
cdef object checked_integers(values, str name, Py_ssize_t size, least, largest=?)
cdef object hashes_of(const uint64_t* seed, bint quick, keys)
cdef object cost_rows(object costs, Py_ssize_t size, int limits)
cdef tuple one_for_each(object given, str name, int size)
