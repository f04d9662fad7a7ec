"""The named limits: which of them a request asks for, its decision, and its answer."""

import logging
import time
from functools import partial

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcpy

from .._limiter.decision cimport FALLBACK, Decision, fields_about
from .head cimport Head

from .answers import OK, plain, refuse
from .awaiting import awaited
from .sources import FORWARDED, LONGEST_CACHED

log = logging.getLogger("ratelimit.serve")
PAUSE = 60.0  # seconds between two reports of a limiter that fails
cdef frozenset ADMITTED = frozenset(("allowed", "shadow", "failed_open", "absent_allowed"))


@cython.final
cdef class Check:
    """A named limit.

    Args:
        name: as in the file.
        limiter: what decides.
        key: a function of a Head that returns the key, or None if the request lacks it.
        address: finds the address of a client, if that is the key; otherwise None.
        cost: a whole number, or a function of a Head that raises a ValueError for an impossible cost.
        absent, refused, failed: the results in these cases; None, if requests without the key share a limit.
        counting: for each result a function that counts it.
    """

    def __init__(self, name, limiter, *, key, address, cost, absent, refused, failed, counting):
        self.name = name
        self.limiter = limiter
        self.key, self.address, self.cost = key, address, cost
        self.absent, self.refused, self.failed = absent, refused, failed
        self.counting = counting
        self.asks = limiter._is_remote
        self.logged = float("-inf")

    cdef object answer(self, Head head, object style, int status):
        """Spend from the limit; return the answer, its lines and its body. If an engine decides, await it.

        Args:
            head: the request.
            style: of the fields about the limit.
            status: that of a refusal.

        Raises:
            ValueError: the cost of the request is not possible.
        """
        cdef Decision decision
        cdef str key, forwarded
        if self.address is None:
            key = self.key(head)
        else:  # the same without a function in Python
            forwarded = head.fields.get(FORWARDED, "")
            key = self.address(head.peer, forwarded) if len(forwarded) <= LONGEST_CACHED else self.key(head)
        if key is None and self.absent is not None:
            return self.told(head, style, status, self.absent)
        cost = self.cost if type(self.cost) is int else self.cost(head)
        if self.asks:
            return awaited(self.limiter.hit_async(key or "", cost), partial(self.answer_to, head, style, status))
        try:
            decision = self.limiter.hit(key or "", cost)
        except Exception:
            return self.answer_to(head, style, status, None)
        return self.answer_to(head, style, status, decision)

    def answer_to(self, Head head, object style, int status, Decision decision):
        """Return the answer to a request that was decided; None: the limiter failed, and its error is being handled."""
        if decision is None:
            self.report()
            return self.told(head, style, status, self.failed)
        return self.told(head, style, status, self.result_of(decision), decision)

    cdef str result_of(self, Decision decision):
        if decision.verdict.allowed:
            return "allowed"
        return "failed_closed" if decision.source_ == FALLBACK and self.refused == "refused" else self.refused

    cdef tuple told(self, Head head, object style, int status, str result, Decision decision=None):
        """Count a result, and return the answer."""
        cdef list fields = []
        self.counting[result]()
        if decision is not None and result != "shadow":
            fields = fields_about(decision, style)
        if result in ADMITTED:
            return answer_with(OK, fields), b""
        lines, body = refuse(503 if result == "failed_closed" else status, head.fields.get(b"accept", ""))
        return answer_with(lines, fields), body

    cdef int report(self) except -1:
        """Log the error of the limiter, now and then."""
        now = time.monotonic()
        if now - self.logged >= PAUSE:
            self.logged = now
            log.exception("limit %s failed; result: %s", self.name, self.failed)
        return 0


@cython.final
cdef class Checks:
    """Finds the limit that a request asks for.

    Args:
        routes: for each path the Check, and the status of a refusal.
        style: of the fields about limits.
    """

    def __init__(self, dict routes, style):
        self.routes = routes
        self.style = style

    cdef object answer(self, Head head):
        """Return the answer of the limit, what to await for it, or None if the path is not one of a limit."""
        cdef Check check
        cdef tuple route = self.routes.get(head.target)
        if route is None:
            path, _, head.query = head.target.partition(b"?")
            route = self.routes.get(path) or self.routes.get(b"/".join(path.split(b"/", 3)[:3]))
            if route is None:
                return None
        check, status = route
        try:
            return check.answer(head, self.style, status)
        except ValueError as error:
            return plain(400, str(error))


cdef bytes answer_with(bytes first, list fields):
    """Return the first lines of an answer and a line for each field."""
    cdef Py_ssize_t size = len(first)
    cdef bytes name, value
    for field in fields:
        name, value = <tuple>field
        size += len(name) + len(value) + 4
    cdef bytes lines = PyBytes_FromStringAndSize(NULL, size)
    cdef char* at = write(<char*>lines, first)
    for field in fields:
        name, value = <tuple>field
        at = write(write(write(write(at, name), b": "), value), b"\r\n")
    return lines


cdef inline char* write(char* at, bytes text) noexcept:
    memcpy(at, <char*>text, len(text))
    return at + len(text)
