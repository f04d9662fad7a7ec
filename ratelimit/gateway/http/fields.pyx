"""The headers of a request by their names. In Cython, because each header of each request passes here."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE


def stripped_by_name(headers):
    """Return the last value of each name, or None if a value begins or ends with a blank."""
    cdef dict found = {}
    cdef const char* text
    cdef Py_ssize_t size
    cdef bytes value
    for name, value in headers:
        text, size = PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)
        if size and (is_blank(text[0]) or is_blank(text[size - 1])):
            return None
        found[name] = value
    return found


cdef inline bint is_blank(char byte) noexcept:
    return byte == 32 or byte == 9  # a space or a tab
