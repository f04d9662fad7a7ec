"""HTTP/1 on one connection: bounded in size and time."""

from functools import partial

cimport cython

from .check cimport Checks
from .head cimport Head, HeadReader

from .answers import plain
from .refused import BadRequest

MAX_BODY = 1 << 20  # bytes; a body is read and discarded
MAX_CONNECTIONS = 10_000
REQUEST_TIMEOUT = 10.0  # seconds for a request to arrive, and for answers to be taken
IDLE_TIMEOUT = 120.0  # seconds without a request; more than proxies wait, so that they close first
LINGER = 2.0  # seconds in which a client may read why its connection is closed
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@cython.final
cdef class Connection:
    """One connection, as the protocol of an asyncio transport. Requests that were sent together are answered in order.

    Args:
        connections: those of the worker.
    """

    cdef object connections
    cdef readonly object transport
    cdef str peer
    cdef bytes rest           # of a head that is not complete
    cdef Py_ssize_t body      # bytes of a body that are still to come
    cdef bytes answer         # to the request with that body
    cdef bint last            # whether that answer is the last one
    cdef bint closing         # whether nothing is read any more
    cdef bint waiting         # whether the client has to take answers first
    cdef object asking        # the task that asks an engine, during which nothing is answered; or None
    cdef bint ended           # whether the client sends nothing more
    cdef long long count, seen  # of events, now and at the last look
    cdef double since         # when the state began that ends by itself

    def __init__(self, connections):
        self.connections = connections
        self.peer = ""
        self.rest = self.answer = b""
        self.since = connections.loop.time()

    # --- events

    def connection_made(self, transport):
        self.transport = transport
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.peer = peer[0]
        self.connections.all.add(self)
        if len(self.connections.all) > MAX_CONNECTIONS:
            self.transport.write(self.whole(plain(503, f"more than {MAX_CONNECTIONS} connections"), True))
            self.close()

    def connection_lost(self, exc):
        self.connections.all.discard(self)
        self.closing = True

    def data_received(self, bytes data not None):
        cdef list answers = []
        cdef bint was_partial = bool(self.rest) or self.body > 0
        if self.closing:
            return
        if self.rest:
            data, self.rest = self.rest + data, b""
        self.count += 1
        if self.asking is not None:
            self.rest = data
            self.transport.pause_reading()
            return
        self.go_on(data, answers)
        if (self.rest or self.body) and (answers or not was_partial):
            self.since = self.connections.loop.time()

    def eof_received(self):
        """Let the transport close the connection, unless an answer is still to come."""
        self.ended = True
        return self.asking is not None

    def pause_writing(self):
        self.waiting = True
        self.since = self.connections.loop.time()
        self.transport.pause_reading()

    def resume_writing(self):
        self.waiting = False
        if not self.closing and self.asking is None:
            self.transport.resume_reading()

    # --- requests

    cdef int go_on(self, bytes data, list answers) except -1:
        """Read, and write all answers in one piece."""
        try:
            self.read(data, answers)
        except BadRequest as error:
            answers.append(self.whole(plain(error.status, str(error)), True))
            self.linger()
        if answers:
            self.transport.write(answers[0] if len(answers) == 1 else b"".join(answers))
        return 0

    cdef int read(self, bytes data, list answers) except -1:
        """Answer all requests that are complete, and keep the rest."""
        cdef Py_ssize_t at = 0, size = len(data), taken
        cdef bint last
        cdef Head head
        site = self.connections.site
        cdef HeadReader reader = site.reader
        cdef Checks checks = site.checks
        while at < size and not self.closing:
            if self.body:
                taken = min(self.body, size - at)
                at += taken
                self.body -= taken
                if not self.body:
                    answers.append(self.answer)
                    if self.last:
                        self.end()
                continue
            head = reader.next(data, at)
            if head is None:
                self.rest = data[at:]
                return 0
            if head.length > MAX_BODY:
                raise BadRequest(413, f"expected a body of at most {MAX_BODY} bytes")
            at = head.end
            last = not head.keep or self.connections.stopping
            head.peer = self.peer
            found = checks.answer(head) or site.page(head.target)
            if type(found) is not tuple:
                self.asking = self.connections.loop.create_task(found)
                self.asking.add_done_callback(partial(self.answered, head, last))
                self.rest = data[at:]
                return 0
            self.answer_with(self.whole(found, last, head), last, head, answers)
        return 0

    def answered(self, Head head, bint last, task):
        """Answer with what an engine decided, and go on with what has arrived meanwhile."""
        cdef list answers = []
        cdef bytes data
        self.asking = None
        if self.closing or task.cancelled():  # the connection is lost, or the worker ends
            return
        data, self.rest = self.rest, b""
        self.answer_with(self.whole(task.result(), last, head), last, head, answers)
        self.go_on(data, answers)
        self.since = self.connections.loop.time()
        if self.asking is not None or self.closing:
            return
        if self.ended:
            self.close()
        elif not self.waiting:
            self.transport.resume_reading()

    cdef int answer_with(self, bytes answer, bint last, Head head, list answers) except -1:
        """Put the answer to a head among those to write, or keep it until the body has arrived."""
        if head.length:
            self.body, self.answer, self.last = head.length, answer, last
            if head.expects and head.http_1_1:
                answers.append(CONTINUE)
        else:
            answers.append(answer)
            if last:
                self.end()
        return 0

    cdef bytes whole(self, tuple answer, bint last, Head head=None):
        """Return an answer with the fields of the connection, in one piece."""
        cdef bytes lines, body
        lines, body = answer
        if head is not None and head.method == b"HEAD":
            body = b""
        if last:
            return b"%b%bConnection: close\r\n\r\n%b" % (lines, self.connections.date, body)
        if head is not None and not head.http_1_1:
            return b"%b%bConnection: keep-alive\r\n\r\n%b" % (lines, self.connections.date, body)
        lines += self.connections.ending
        return lines + body if body else lines

    # --- the end

    cdef int end(self) except -1:
        """Close after the answer was written, and read nothing more until then."""
        self.closing = True
        self.connections.loop.call_soon(self.close)
        return 0

    def close(self):
        """Close when all answers are sent."""
        self.linger()
        self.transport.close()

    cdef int linger(self) except -1:
        """Read nothing more. Closing at once would reset the connection, and the answer would be lost with it."""
        self.closing = True
        self.since = self.connections.loop.time()
        self.rest, self.body = b"", 0
        return 0

    def close_if_idle(self):
        """Close unless a request is under way."""
        if not (self.rest or self.body or self.closing) and self.asking is None:
            self.close()

    def abort(self):
        """Close at once."""
        self.transport.abort()

    def look(self, double now):
        """End what takes too long.

        Args:
            now: the time of the event loop.
        """
        cdef double age = now - self.since
        if self.closing:
            if age > LINGER:
                self.abort()
        elif self.waiting:
            if age > REQUEST_TIMEOUT:
                self.abort()
        elif self.asking is not None:
            pass  # the engine has a deadline of its own
        elif self.rest or self.body:
            if age > REQUEST_TIMEOUT:
                text = f"expected a request within {REQUEST_TIMEOUT:g} s"
                self.transport.write(self.whole(plain(408, text), True))
                self.close()
        elif self.count != self.seen:
            self.seen, self.since = self.count, now
        elif age > IDLE_TIMEOUT:
            self.close()
