"""The memory of arrays as plain pointers. Cython's typed memoryviews would make a wheel larger by 60 KB.

A pointer is valid while a reference to its array exists, and the array is not resized.
"""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_SIMPLE, PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
)
from libc.stdint cimport uint64_t
from libc.string cimport strchr

cdef enum Kind:
    SIGNED
    UNSIGNED

cdef struct Row:  # of numbers
    const uint64_t* first
    Py_ssize_t step  # to the next one; 0 if one number is repeated


cdef inline char* data_of(object array, int flags=PyBUF_SIMPLE) except NULL:
    """Return the address of contiguous memory.

    Args:
        flags: what else the memory has to be, such as PyBUF_WRITABLE.
    """
    cdef Py_buffer memory
    PyObject_GetBuffer(array, &memory, flags)
    PyBuffer_Release(&memory)
    return <char*>memory.buf


cdef inline Row row_of(object array) except *:
    """Return where the numbers of a one-dimensional array of uint64 are."""
    cdef Py_buffer memory
    cdef Row row
    PyObject_GetBuffer(array, &memory, PyBUF_STRIDES)
    row.first = <const uint64_t*>memory.buf
    row.step = memory.strides[0] // <Py_ssize_t>sizeof(uint64_t)
    PyBuffer_Release(&memory)
    return row


cdef inline char* integers_of(object array, str name, Kind kind, Py_ssize_t width, Py_ssize_t size) except NULL:
    """Return the address of the numbers of an array, which must be `size` integers of this kind and width in bytes.

    Raises:
        TypeError: they are others, or strided.
    """
    cdef Py_buffer memory
    cdef bint right
    try:
        PyObject_GetBuffer(array, &memory, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except (TypeError, ValueError, BufferError):
        right = False
    else:
        right = (
            memory.ndim == 1 and memory.shape[0] == size and memory.itemsize == width and memory.format != NULL
            and strchr(b"bhilq" if kind == SIGNED else b"BHILQ?", memory.format[0]) != NULL
        )
        PyBuffer_Release(&memory)
    if not right:
        raise TypeError(
            f"{name}: expected {size} {'signed' if kind == SIGNED else 'unsigned'} integers of {width} bytes, "
            f"one after another, got {array!r}"
        )
    return <char*>memory.buf
