"""The head of an HTTP/1 request, read strictly: a form that two programs could read in two ways is refused."""

cimport cython
from libc.stdint cimport uint8_t
from libc.string cimport memcmp

from .refused import BadRequest

cdef enum:
    MAX_DIGITS = 15  # of Content-Length
    TOKEN = 1  # classes of bytes: of a name or a method
    TARGET = 2
    VALUE = 4

cdef uint8_t[256] CLASS
cdef uint8_t[256] LOWER


cdef void _classify() noexcept:
    cdef int byte
    for byte in range(256):
        LOWER[byte] = byte + 32 if c"A" <= byte <= c"Z" else byte
        CLASS[byte] = 0
        if byte > 0x20 and byte != 0x7F:
            CLASS[byte] |= TARGET | VALUE
        if byte == 0x20 or byte == 0x09:
            CLASS[byte] |= VALUE
        if c"a" <= LOWER[byte] <= c"z" or c"0" <= byte <= c"9" or byte in b"!#$%&'*+-.^_`|~":
            CLASS[byte] |= TOKEN


_classify()


@cython.final
cdef class Head:
    """The head of one request.

    Attributes:
        method: such as b"GET".
        target: the path with the query, as it was sent.
        query: the query, undecoded; the program that reads the head sets it.
        peer: the address of the connection, empty for a Unix socket; set likewise.
        fields: the values of the wanted header fields by their names in lower case; those of one name joined by ", ".
        end: the offset at which the head ends.
        length: the bytes of the body.
        keep: whether the client wants to keep the connection.
        http_1_1: whether the version is 1.1.
        expects: whether the client waits for a word of the server before it sends the body.
    """


@cython.final
cdef class HeadReader:
    """Reads heads.

    Args:
        wanted: the names of header fields, in lower case, that are kept.
        max_head: bytes that a head may have.
    """

    def __init__(self, wanted, Py_ssize_t max_head):
        cdef int i
        self.wanted = frozenset(wanted)
        self.max_head = max_head
        for i in range(LONGEST_NAME + 1):
            self.lengths[i] = i in map(len, self.wanted)

    def read(self, bytes data not None, Py_ssize_t begin, /):
        """Return the Head that begins at an offset, or None if it is not complete.

        Raises:
            BadRequest: it is not a head, or too large.
        """
        return self.next(data, begin)

    cdef Head next(self, bytes data, Py_ssize_t begin):
        """Do as `read`, for compiled callers."""
        cdef const uint8_t* text = data
        cdef Py_ssize_t size = min(len(data), begin + self.max_head), at = begin
        cdef Head head = Head.__new__(Head)
        cdef bint host = False
        if begin < 0:
            raise ValueError(f"begin: expected an offset in the data, got {begin}")
        head.length = -1
        head.query, head.peer = b"", ""
        head.fields = {}
        # --- the request line
        at = skip(text, at, size, TOKEN)
        if at < size and (at == begin or text[at] != c" "):
            raise BadRequest(400, "expected a method and a path")
        if at + 1 >= size:
            return self.incomplete(data, begin)
        head.method = data[begin:at]
        begin_target = at + 1
        at = skip(text, begin_target, size, TARGET)
        if text[begin_target] != c"/" or (at < size and text[at] != c" "):
            raise BadRequest(400, "expected a path")
        if at + 11 > size:
            return self.incomplete(data, begin)
        head.target = data[begin_target:at]
        if memcmp(text + at, b" HTTP/1.", 8) != 0 or text[at + 8] not in b"01":
            raise BadRequest(505, "expected HTTP/1.1 or HTTP/1.0")
        if text[at + 9] != c"\r" or text[at + 10] != c"\n":
            raise BadRequest(400, "expected a line that ends with CR LF")
        head.http_1_1 = head.keep = text[at + 8] == c"1"
        at += 11
        # --- the header fields
        while at < size and text[at] != c"\r":
            at = self.field(head, data, text, at, size, &host)
            if at < 0:
                return self.incomplete(data, begin)
        if at + 2 > size:
            return self.incomplete(data, begin)
        if text[at + 1] != c"\n":
            raise BadRequest(400, "expected a line that ends with CR LF")
        if head.http_1_1 and not host:
            raise BadRequest(400, "expected a field Host")
        head.end = at + 2
        head.length = max(head.length, 0)
        return head

    cdef Head incomplete(self, bytes data, Py_ssize_t begin):
        if len(data) - begin >= self.max_head:
            raise BadRequest(431, f"expected a head of at most {self.max_head} bytes")
        return None

    cdef Py_ssize_t field(
        self, Head head, bytes data, const uint8_t* text, Py_ssize_t at, Py_ssize_t size, bint* host
    ) except -2:
        """Read a field; return the offset after it, or -1 if it is not complete."""
        cdef Py_ssize_t name = at, length, first, last, i
        cdef uint8_t[LONGEST_NAME] lower
        at = skip(text, at, size, TOKEN)
        length = at - name
        if at == size:
            return -1
        if length == 0 or text[at] != c":":
            raise BadRequest(400, "expected a header field")
        first = at + 1
        at = skip(text, first, size, VALUE)
        if at + 2 > size:
            if at < size and text[at] != c"\r":
                raise BadRequest(400, "expected a header field")
            return -1
        if text[at] != c"\r" or text[at + 1] != c"\n":
            raise BadRequest(400, "expected a line that ends with CR LF")
        last = at
        if length > LONGEST_NAME:
            return at + 2
        while first < last and text[first] in b" \t":
            first += 1
        while last > first and text[last - 1] in b" \t":
            last -= 1
        for i in range(length):
            lower[i] = LOWER[text[name + i]]
        if length == 4 and memcmp(lower, b"host", 4) == 0:
            if host[0]:
                raise BadRequest(400, "expected one field Host")
            host[0] = True
        elif length == 14 and memcmp(lower, b"content-length", 14) == 0:
            if head.length >= 0:
                raise BadRequest(400, "expected one field Content-Length")
            head.length = number(text, first, last)
        elif length == 17 and memcmp(lower, b"transfer-encoding", 17) == 0:
            raise BadRequest(501, "expected a body with Content-Length")
        elif length == 10 and memcmp(lower, b"connection", 10) == 0:
            options = [option.strip() for option in data[first:last].lower().split(b",")]
            head.keep = b"close" not in options and (head.keep or b"keep-alive" in options)
        elif length == 6 and memcmp(lower, b"expect", 6) == 0:
            head.expects = True
        if self.lengths[length]:
            known = (<char*>lower)[:length]
            if known in self.wanted:
                value = data[first:last].decode("latin-1")
                head.fields[known] = f"{head.fields[known]}, {value}" if known in head.fields else value
        return at + 2


cdef inline Py_ssize_t skip(const uint8_t* text, Py_ssize_t at, Py_ssize_t size, int kind) noexcept:
    """Return the offset of the next byte that is not of the kind."""
    while at < size and CLASS[text[at]] & kind:
        at += 1
    return at


cdef Py_ssize_t number(const uint8_t* text, Py_ssize_t first, Py_ssize_t last) except -1:
    cdef Py_ssize_t value = 0
    if not 0 < last - first <= MAX_DIGITS:
        raise BadRequest(400, "expected a number as Content-Length")
    while first < last:
        if not c"0" <= text[first] <= c"9":
            raise BadRequest(400, "expected a number as Content-Length")
        value = value * 10 + text[first] - c"0"
        first += 1
    return value
