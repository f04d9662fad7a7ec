"""The usual lines of common and combined logs, read without regular expressions, and hashes of texts.

Not every line of these logs is usual: a client may be a name, a user may have blanks. Such a line is left to the
format's regular expression (reading/formats/text.py), which is the specification. A line that is read here has the
same fields there.

In one file: all functions read the same bytes, and the compiler inlines them.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, strlen

import numpy as np

cimport cython

from .._engine.arrays cimport SIGNED, data_of, integers_of
from .._engine.hashing cimport hash_bytes

cdef extern from "<arpa/inet.h>" nogil:
    int AF_INET, AF_INET6
    int inet_pton(int family, const char* text, void* packed)
    const char* inet_ntop(int family, const void* packed, char* text, unsigned int size)

cdef enum:
    CACHED = 1 << 15  # addresses in other spellings than the usual one
    TIME_SIZE = 26  # of 05/Jan/2026:00:00:01 +0000
    DAY_SIZE = 12
    ZONE = 20  # where the zone begins
    UNKNOWN = -1
    NS = 1_000_000_000

cdef uint64_t[2] SEED
SEED[0], SEED[1] = np.frombuffer(os.urandom(16), np.uint64)  # clients cannot choose names that collide

cdef uint8_t[256] IN_ADDRESS
for _byte in range(256):
    IN_ADDRESS[_byte] = _byte in b"0123456789abcdefABCDEF.:"
cdef const char* V4_MAPPED = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"
cdef const char* MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"


cpdef Py_ssize_t count_lines(bytes data) noexcept:
    """Return the number of line feeds."""
    cdef Py_ssize_t i, feeds = 0, size = PyBytes_GET_SIZE(data)
    cdef const uint8_t* text = <const uint8_t*>PyBytes_AS_STRING(data)
    for i in range(size):
        feeds += text[i] == c"\n"
    return feeds


def hash_texts(list texts):
    """Return the hashes of these bytes: uint64. They are the same within a process."""
    cdef Py_ssize_t i, size = len(texts)
    cdef bytes text
    result = np.empty(size, np.uint64)
    cdef uint64_t* hashes = <uint64_t*>data_of(result)
    for i in range(size):
        text = texts[i]
        hashes[i] = hash_bytes(SEED, <const uint8_t*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
    return result


cdef const int32_t* spans_of(object array, str name, Py_ssize_t size) except NULL:
    return <const int32_t*>integers_of(array, name, SIGNED, sizeof(int32_t), size)


def hash_spans(bytes data, starts, sizes):
    """Return the hashes of these parts of the data, as hash_texts."""
    cdef Py_ssize_t i, size = len(starts)
    cdef const int32_t* start = spans_of(starts, "starts", size)
    cdef const int32_t* length = spans_of(sizes, "sizes", size)
    cdef const uint8_t* begin = <const uint8_t*>PyBytes_AS_STRING(data)
    result = np.empty(size, np.uint64)
    cdef uint64_t* hashes = <uint64_t*>data_of(result)
    for i in range(size):
        hashes[i] = hash_bytes(SEED, begin + start[i], length[i])
    return result


def join_spans(bytes data, starts, sizes):
    """Return these parts of the data, one after the other."""
    cdef Py_ssize_t i, size = 0, count = len(starts)
    cdef const int32_t* start = spans_of(starts, "starts", count)
    cdef const int32_t* length = spans_of(sizes, "sizes", count)
    cdef const char* begin = PyBytes_AS_STRING(data)
    for i in range(count):
        size += length[i]
    result = PyBytes_FromStringAndSize(NULL, size)
    cdef char* place = PyBytes_AS_STRING(result)
    for i in range(count):
        memcpy(place, begin + start[i], length[i])
        place += length[i]
    return result


def first_rows(ids, Py_ssize_t known, Py_ssize_t size):
    """Return the first row of each id from `known` to below `size`; these ids come in ascending order."""
    cdef Py_ssize_t i, next = known, count = len(ids)
    cdef const int32_t* id = spans_of(ids, "ids", count)
    result = np.empty(size - known, np.int64)
    cdef int64_t* rows = <int64_t*>data_of(result)
    for i in range(count):
        if id[i] == next and next < size:
            rows[next - known] = i
            next += 1
    return result


@cython.final
cdef class AddressHashes:
    """Hashes of clients, of which each address has one, however it is spelled.

    Args:
        canonical: from the bytes of a client to its one spelling.
        v4, v6: how many bits of an address count.
    """

    cdef object canonical
    cdef int v4, v6
    cdef object spelled_, canonical_
    cdef uint64_t* spelled  # the hash of a spelling, at the place where its low bits are
    cdef uint64_t* hashes    # beside it, the hash of the canonical address

    def __init__(self, canonical, v4=32, v6=128):
        self.canonical, self.v4, self.v6 = canonical, v4, v6
        self.spelled_, self.canonical_ = np.zeros((2, CACHED), np.uint64)
        self.spelled, self.hashes = <uint64_t*>data_of(self.spelled_), <uint64_t*>data_of(self.canonical_)

    def of(self, bytes data, starts, sizes):
        """Return the hashes of these parts of the data, and the clients that count under another text, by hash."""
        cdef Py_ssize_t i, place, size = len(starts)
        cdef const int32_t* start = spans_of(starts, "starts", size)
        cdef const int32_t* length = spans_of(sizes, "sizes", size)
        cdef const uint8_t* begin = <const uint8_t*>PyBytes_AS_STRING(data)
        cdef const uint8_t* text
        cdef uint64_t spelled
        cdef bytes address
        result = np.empty(size, np.uint64)
        cdef uint64_t* hashes = <uint64_t*>data_of(result)
        cdef dict found = {}
        for i in range(size):
            text = begin + start[i]
            spelled = hash_bytes(SEED, text, length[i])
            if self.v4 == 32 and is_usual(text, length[i]):
                hashes[i] = spelled
                continue
            place = spelled & (CACHED - 1)
            if self.spelled[place] != spelled or not spelled:
                address = self.spell(text, length[i])
                self.spelled[place] = self.hashes[place] = spelled
                if address is not None:
                    self.hashes[place] = hash_bytes(
                        SEED, <const uint8_t*>PyBytes_AS_STRING(address), PyBytes_GET_SIZE(address)
                    )
                    found[self.hashes[place]] = address
            hashes[i] = self.hashes[place]
        return result, found

    cdef bytes spell(self, const uint8_t* text, Py_ssize_t size):
        """Return the canonical spelling, or None if it is this text."""
        cdef char[64] bare, spelled
        cdef uint8_t[16] packed
        cdef bint wide = memchr(text, c":", size) != NULL
        cdef int family = AF_INET6 if wide else AF_INET
        cdef int bits = self.v6 if wide else self.v4, all_bits = 128 if wide else 32, i
        if size >= 46:
            return self.canonical(text[:size])
        memcpy(bare, text, size)
        bare[size] = 0
        if inet_pton(family, bare, packed) != 1 or (wide and not memcmp(packed, V4_MAPPED, 12)):
            return self.canonical(text[:size])
        for i in range(bits, all_bits):
            packed[i >> 3] &= ~(128 >> (i & 7))
        inet_ntop(family, packed, spelled, 64)
        if bits < all_bits:
            return b"%s/%d" % (<bytes>spelled, bits)
        return None if <Py_ssize_t>strlen(spelled) == size and not memcmp(spelled, text, size) else <bytes>spelled


cdef inline bint is_usual(const uint8_t* text, Py_ssize_t size) noexcept nogil:
    """Return whether it is an IPv4 address as inet_ntop writes it."""
    cdef Py_ssize_t i, digits = 0, dots = 0
    cdef int value = 0, digit
    for i in range(size):
        if text[i] == c".":
            if not digits or dots == 3:
                return False
            dots += 1
            value = digits = 0
            continue
        digit = text[i] - c"0"
        if not 0 <= digit <= 9 or (digits and not value):  # not 01
            return False
        value = 10 * value + digit
        digits += 1
        if value > 255:
            return False
    return dots == 3 and digits > 0


cdef inline int number(const uint8_t* text, int size) noexcept nogil:
    """Return the number that these digits are; a negative one if they are not."""
    cdef int i, value = 0
    for i in range(size):
        if not c"0" <= text[i] <= c"9":
            return -1_000_000
        value = 10 * value + text[i] - c"0"
    return value


cdef inline bint is_status(const uint8_t* text, const uint8_t* end, int* size) noexcept nogil:
    """Return whether a status is here, followed by a blank or the end."""
    if text < end and text[0] == c"-":
        size[0] = 1
    elif end - text >= 3 and number(text, 3) >= 0:
        size[0] = 3
    else:
        return False
    text += size[0]
    return text == end or text[0] == c" " or 9 <= text[0] <= 13 and text[0] != 11


@cython.final
cdef class CombinedLines:
    """Reads lines such as `192.0.2.1 - ann [05/Jan/2026:00:00:01 +0000] "GET /a HTTP/1.1" 200 12 "-" "curl/8"`.

    Args:
        profile: whether the request and the user agent are wanted, too.
    """

    cdef bint profile
    cdef uint8_t[DAY_SIZE] day  # the latest day
    cdef uint8_t[TIME_SIZE - ZONE] zone
    cdef int64_t midnight

    def __init__(self, profile):
        self.profile = profile
        self.day[0] = 0

    def scan(self, bytes data):
        """Read whole lines.

        Returns: the number of lines, the indices of those that are not usual, and an array for each column of the
        others: times in nanoseconds, statuses, and as places in the data: clients, sizes of clients, targets (method,
        blank, path), sizes of targets, user agents, sizes of user agents.
        """
        cdef Py_ssize_t lines = count_lines(data), row = 0, line, unread = 0
        cdef const uint8_t* begin = <const uint8_t*>PyBytes_AS_STRING(data)
        cdef const uint8_t* place = begin
        cdef const uint8_t* last = begin + PyBytes_GET_SIZE(data)
        cdef const uint8_t* end
        times_ = np.empty(lines, np.int64)
        statuses_ = np.empty(lines, np.int16)
        spans_ = np.empty((6 if self.profile else 2, lines), np.int32)
        others_ = np.empty(lines, np.int64)
        cdef int64_t* times = <int64_t*>data_of(times_)
        cdef int64_t* others = <int64_t*>data_of(others_)
        cdef int16_t* statuses = <int16_t*>data_of(statuses_)
        cdef int32_t* spans = <int32_t*>data_of(spans_)
        with nogil:
            for line in range(lines):
                end = <const uint8_t*>memchr(place, c"\n", last - place)
                if self.read(begin, place, end, times + row, statuses + row, spans + row, lines):
                    row += 1
                else:
                    others[unread] = line
                    unread += 1
                place = end + 1
        return lines, others_[:unread], times_[:row], statuses_[:row], *[column[:row] for column in spans_]

    cdef inline bint read(
        self, const uint8_t* begin, const uint8_t* place, const uint8_t* end,
        int64_t* time, int16_t* status, int32_t* spans, Py_ssize_t column,
    ) noexcept nogil:
        """Read a line; its spans are `column` places apart."""
        cdef const uint8_t* from_ = place
        cdef const uint8_t* request
        cdef int size = 0
        while place < end and IN_ADDRESS[place[0]]:
            place += 1
        if place == from_ or place == end or place[0] != c" ":
            return False
        spans[0], spans[column] = <int32_t>(from_ - begin), <int32_t>(place - from_)
        place = word(place + 1, end)  # ident
        if place != NULL:
            place = word(place + 1, end)  # user
        if place == NULL or end - place < TIME_SIZE + 8 or place[1] != c"[":
            return False
        place += 2
        if memcmp(place + TIME_SIZE, b'] "', 3) or not self.time(place, time):
            return False
        request = place + TIME_SIZE + 3
        place = request
        while True:
            place = <const uint8_t*>memchr(place, c'"', end - place)
            if place == NULL:
                return False
            if place + 1 < end and place[1] == c" " and is_status(place + 2, end, &size):
                break
            place += 1
        status[0] = number(place + 2, 3) if size == 3 else UNKNOWN
        return not self.profile or self.rest(begin, request, place, place + 2 + size, end, spans + 2 * column, column)

    cdef inline bint time(self, const uint8_t* text, int64_t* time) noexcept nogil:
        cdef int hour, minute, second
        if memcmp(text, self.day, DAY_SIZE) or memcmp(text + ZONE, self.zone, TIME_SIZE - ZONE):
            if not self.new_day(text):
                return False
        hour, minute, second = number(text + 12, 2), number(text + 15, 2), number(text + 18, 2)
        if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 60 and text[14] == text[17] == c":"):
            return False
        time[0] = (self.midnight + 3_600 * hour + 60 * minute + second) * NS
        return time[0] >= 0

    cdef bint new_day(self, const uint8_t* text) noexcept nogil:
        """Find when this day begins in this zone."""
        cdef int day = number(text, 2), year = number(text + 7, 4)
        cdef int hours = number(text + ZONE + 2, 2), minutes = number(text + ZONE + 4, 2)
        cdef int month = 0
        cdef const char* names = MONTHS
        cdef bint leap = year % 4 == 0 and (year % 100 or year % 400 == 0)
        while month < 12 and memcmp(names + 3 * month, text + 3, 3):
            month += 1
        if month == 12 or not 1970 <= year <= 2100 or not 0 <= hours <= 23 or not 0 <= minutes <= 59:
            return False
        if text[2] != c"/" or text[6] != c"/" or text[11] != c":" or text[ZONE] != c" ":
            return False
        if text[ZONE + 1] != c"+" and text[ZONE + 1] != c"-":
            return False
        if not 1 <= day <= days_of(month, leap):
            return False
        self.midnight = days_before(year) + day - 1
        while month:
            month -= 1
            self.midnight += days_of(month, leap)
        self.midnight *= 86_400
        minutes += 60 * hours
        self.midnight -= 60 * (-minutes if text[ZONE + 1] == c"-" else minutes)
        memcpy(self.day, text, DAY_SIZE)
        memcpy(self.zone, text + ZONE, TIME_SIZE - ZONE)
        return True

    cdef inline bint rest(
        self, const uint8_t* begin, const uint8_t* request, const uint8_t* quote, const uint8_t* place,
        const uint8_t* end, int32_t* spans, Py_ssize_t column,
    ) noexcept nogil:
        """Read the target and the user agent."""
        cdef const uint8_t* from_ = request
        while request < quote and (c"A" <= request[0] <= c"Z" or c"a" <= request[0] <= c"z"):
            request += 1
        if request == from_ or quote - request < 2 or request[0] != c" " or request[1] != c"/":
            return False
        request += 1
        while request < quote and request[0] != c" " and request[0] != c"?":
            request += 1
        spans[0], spans[column] = <int32_t>(from_ - begin), <int32_t>(request - from_)
        if end - place < 7 or place[0] != c" ":
            return False
        place += 1
        if place[0] == c"-":
            place += 1
        else:
            from_ = place
            while place < end and c"0" <= place[0] <= c"9":
                place += 1
            if place == from_:
                return False
        place = quoted(place, end)  # referer
        if place == NULL:
            return False
        from_ = place + 2
        place = quoted(place, end)  # user agent
        if place == NULL:
            return False
        spans[2 * column], spans[3 * column] = <int32_t>(from_ - begin), <int32_t>(place - 1 - from_)
        return True


cdef inline const uint8_t* word(const uint8_t* place, const uint8_t* end) noexcept nogil:
    """Return the end of a word, which is a blank; NULL if no blank follows."""
    cdef const uint8_t* from_ = place
    while place < end and place[0] != c" ":
        place += 1
    if place == from_ or place == end:
        return NULL
    return place


cdef inline const uint8_t* quoted(const uint8_t* place, const uint8_t* end) noexcept nogil:
    """Return where a blank and a text in quotes end; NULL without such a text, or if it has a backslash."""
    if end - place < 3 or place[0] != c" " or place[1] != c'"':
        return NULL
    place += 2
    while place < end and place[0] != c'"':
        if place[0] == c"\\":
            return NULL
        place += 1
    if place == end:
        return NULL
    return place + 1


cdef inline int days_of(int month, bint leap) noexcept nogil:
    """Return how many days a month has, from 0 for January."""
    if month == 1:
        return 29 if leap else 28
    return 30 if month == 3 or month == 5 or month == 8 or month == 10 else 31


cdef inline int64_t days_before(int year) noexcept nogil:
    """Return the days from 1970 to the first of January."""
    year -= 1
    return 365 * (year - 1969) + (year // 4 - year // 100 + year // 400) - (1969 // 4 - 1969 // 100 + 1969 // 400)
