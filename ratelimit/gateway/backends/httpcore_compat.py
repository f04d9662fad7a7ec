"""The private attributes of httpcore and anyio that the pool depends on; no other file reads any.

A connection must not be used again when its backend has sent more than its answer: a body after a 204 or an answer to
HEAD, or a second answer, would be taken for the answer to the next request. None of the libraries reports such data,
so this file looks where it may be: in the HTTP parser, within TLS, or before both. (httpcore itself finds data in the
kernel.) On import, the file checks that the attributes exist. So a changed library is noticed when the gateway starts,
and neither by connections that are never used again nor by answers that reach the wrong client.
"""

import select
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import httpcore
from anyio._backends._asyncio import SocketStream, StreamProtocol
from anyio.streams.tls import TLSStream
from httpcore._backends.anyio import AnyIOStream


class Connection(httpcore.AsyncHTTPConnection):
    """A connection that expires when its backend has sent more than its answer."""

    def has_expired(self) -> bool:
        inner = self._connection
        if isinstance(inner, httpcore.AsyncHTTP11Connection) and inner.is_idle() and _has_unread_data(inner):
            return True
        return super().has_expired()

    def is_closed_by_peer(self) -> bool:
        """Whether the backend has closed its side, where the kernel can report it."""
        inner = self._connection
        if not isinstance(inner, httpcore.AsyncHTTP11Connection):
            return False
        found = select.poll()
        found.register(inner._network_stream.get_extra_info("socket"), getattr(select, "POLLRDHUP", 0))
        return bool(found.poll(0))


def _has_unread_data(connection: httpcore.AsyncHTTP11Connection) -> bool:
    stream: Any = connection._network_stream._stream  # type: ignore[attr-defined]
    if connection._h11_state.trailing_data[0]:
        return True
    if isinstance(stream, TLSStream):
        if stream._ssl_object.pending() or stream._read_bio.pending:
            return True
        stream = stream.transport_stream
    return bool(stream._protocol.read_queue)


def missing_attributes() -> Iterator[str]:
    """Yield the attributes that the installed libraries do not have."""
    origin = httpcore.Origin(b"http", b"localhost", 80)
    http11 = httpcore.AsyncHTTP11Connection(origin, httpcore.AsyncMockStream([]))
    transport: Any = None
    fields = dict.fromkeys(getattr(TLSStream, "__dataclass_fields__", ()))
    for name, owner, attribute in (
        ("httpcore.AsyncHTTPConnection", vars(httpcore.AsyncHTTPConnection(origin)), "_connection"),
        ("httpcore.AsyncHTTP11Connection", vars(http11), "_network_stream"),
        ("httpcore.AsyncHTTP11Connection", vars(http11), "_h11_state"),
        ("httpcore AnyIOStream", vars(AnyIOStream(transport)), "_stream"),
        ("anyio TLSStream", fields, "_ssl_object"),
        ("anyio TLSStream", fields, "_read_bio"),
        ("anyio TLSStream", fields, "transport_stream"),
        ("anyio SocketStream", vars(SocketStream(transport, StreamProtocol())), "_protocol"),
        ("anyio StreamProtocol", StreamProtocol.__annotations__, "read_queue"),
    ):
        if attribute not in owner:
            yield f"{name}.{attribute}"


if missing := list(missing_attributes()):
    installed = ", ".join(f"{name} {version(name)}" for name in ("httpcore", "anyio"))
    raise ImportError(f"unsupported version of a library, {installed}: missing {', '.join(missing)}")
