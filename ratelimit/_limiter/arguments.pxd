from libc.stdint cimport uint64_t


cdef uint64_t moment(object value, str name) except? 0
cdef uint64_t amount(object value, str name, uint64_t least=?) except? 0
cdef object integers(values, str name, Py_ssize_t size, least, most=?)
cdef object hashes_of(const uint64_t* seed, keys)
cdef char* address(object array) except NULL
