from collections.abc import Iterable
from typing import final

@final
class Head:
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

    method: bytes
    target: bytes
    query: bytes
    peer: str
    fields: dict[bytes, str]
    end: int
    length: int
    keep: bool
    expects: bool
    http_1_1: bool

@final
class HeadReader:
    """Reads heads.

    Args:
        wanted: the names of header fields, in lower case, that are kept.
        max_head: bytes that a head may have.
    """

    def __init__(self, wanted: Iterable[bytes], max_head: int) -> None: ...
    def read(self, data: bytes, begin: int, /) -> Head | None:
        """Return the Head that begins at an offset, or None if it is not complete.

        Raises:
            BadRequest: it is not a head, or too large.
        """
