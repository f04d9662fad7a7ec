"""An answer, and its body."""

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from .headers import Headers

NO_BODY = (204, 304)  # statuses whose answer has no body


class BodyStream(Protocol):
    """A body in pieces. It must be closed, whether it was read or not."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


class Response(NamedTuple):
    """An answer: its status, headers, and body, whole or in pieces. It is never changed, so it may be sent again."""

    status: int
    headers: Headers
    body: bytes | BodyStream = b""


async def discard(body: bytes | BodyStream) -> None:
    """Close a body that will not be read further, so that its connection may serve other requests."""
    if not isinstance(body, bytes):
        await body.aclose()


async def without_body(response: Response) -> Response:
    """Remove the body of an answer whose status has no body: a client would take it for its next answer."""
    await discard(response.body)
    return Response(response.status, [one for one in response.headers if one[0] != b"content-length"])
