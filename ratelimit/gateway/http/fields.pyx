"""The header fields of requests and answers. In Cython, because each field of each request and answer passes here."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp, memcpy

cdef unsigned char[256] LOWER  # each byte of a field's name in lower case; 0 for one that no name has
for _letter in b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz":
    LOWER[ord(_letter)] = ord(_letter.lower())


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


def without_prefix(list headers, bytes prefix):
    """Return the headers whose names do not begin with a prefix."""
    for name, _ in headers:
        if begins_with(name, prefix):
            return [header for header in headers if not begins_with(header[0], prefix)]
    return headers


cdef inline bint begins_with(bytes text, bytes prefix) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(prefix)
    return PyBytes_GET_SIZE(text) >= size and memcmp(PyBytes_AS_STRING(text), PyBytes_AS_STRING(prefix), size) == 0


def whole_answer(bytes status_line, list headers, bytes body, bint with_body):
    """Return an answer as it is sent; None if its headers are invalid, or frame it otherwise than by the length."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(status_line) + 2 + with_body * PyBytes_GET_SIZE(body)
    cdef bytes name, value, answer
    cdef int lengths = 0
    cdef char* at
    cdef char* start
    for name, value in headers:
        size += PyBytes_GET_SIZE(name) + PyBytes_GET_SIZE(value) + 4
    answer = PyBytes_FromStringAndSize(NULL, size)
    at = copied(PyBytes_AS_STRING(answer), status_line)
    for name, value in headers:
        start = at
        if not lowered(at, name) or not is_value(value):
            return None
        at += PyBytes_GET_SIZE(name)
        if is_text(start, at, b"content-length"):
            lengths += 1
            if value != b"%d" % PyBytes_GET_SIZE(body):
                return None
        elif is_text(start, at, b"connection") or is_text(start, at, b"transfer-encoding"):
            return None
        at[0], at[1] = 58, 32  # a colon and a space
        at = end_line(copied(at + 2, value))
    at = end_line(at)
    if with_body:
        copied(at, body)
    return answer if lengths == 1 else None


cdef inline bint lowered(char* to, bytes name) noexcept:
    """Write a name in lower case; return whether it is one."""
    cdef const unsigned char* text = <const unsigned char*>PyBytes_AS_STRING(name)
    cdef Py_ssize_t i
    for i in range(PyBytes_GET_SIZE(name)):
        to[i] = <char>LOWER[text[i]]
        if not to[i]:
            return False
    return PyBytes_GET_SIZE(name) > 0


cdef inline bint is_value(bytes value) noexcept:
    """Return whether a value has no control character but tabs."""
    cdef const unsigned char* text = <const unsigned char*>PyBytes_AS_STRING(value)
    cdef Py_ssize_t i
    for i in range(PyBytes_GET_SIZE(value)):
        if (text[i] < 32 and text[i] != 9) or text[i] == 127:
            return False
    return True


cdef inline bint is_text(const char* start, const char* end, bytes text) noexcept:
    return end - start == PyBytes_GET_SIZE(text) and memcmp(start, PyBytes_AS_STRING(text), end - start) == 0


cdef inline char* copied(char* at, bytes text) noexcept:
    memcpy(at, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return at + PyBytes_GET_SIZE(text)


cdef inline char* end_line(char* at) noexcept:
    at[0], at[1] = 13, 10
    return at + 2
