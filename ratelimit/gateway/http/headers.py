"""Header fields: their names and values, and which of them go from one connection to the next."""

import re
from urllib.parse import quote

from .errors import BadValue

Header = tuple[bytes, bytes]
Headers = list[Header]
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
CLOSE: tuple[Header, ...] = ((b"connection", b"close"),)  # of an answer after which the connection is closed
REQUEST_ID = b"x-amzn-requestid"  # by which a client can name its request
HOP_BY_HOP = {
    b"connection", b"http2-settings", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
    b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
}  # fmt: skip
# Headers that frame a message or name its recipient: no template may write them.
RESERVED = HOP_BY_HOP | {b"content-length", b"expect", b"host"}


def canonical_name(name: bytes) -> bytes:
    """Return the name of a header as CGI and WSGI read it, which do not distinguish `_` from `-`."""
    return name.lower().replace(b"_", b"-")


def header_value(name: str, value: str) -> bytes:
    """Encode the value of a header; raise BadValue for one that could end the header."""
    if CONTROL.search(value):
        raise BadValue(f"a control character for header {name}")
    try:
        return value.strip().encode("latin-1")
    except UnicodeEncodeError:
        return quote(value.strip(), safe=" !#$&'()*+,/:;=?@[]~").encode()


def combine(headers: Headers, comma: str = ", ") -> dict[str, str]:
    """Return headers by name, as text; several of one name become one list (RFC 9110, 5.3)."""
    texts: dict[str, str] = {}
    for raw, value in headers:
        name, text = raw.decode("latin-1"), value.decode("latin-1")
        texts[name] = f"{texts[name]}{comma}{text}" if name in texts else text
    return texts


def end_to_end(headers: Headers, dropped: set[bytes]) -> Headers:
    """Return, in lower case, the headers that may go to the next connection.

    Args:
        headers: as they came.
        dropped: canonical names that are left out, besides those that `connection` names.
    """
    lower = [(name.lower(), value.strip(b" \t")) for name, value in headers]
    named = {token.strip().lower() for name, value in lower if name == b"connection" for token in value.split(b",")}
    return [(name, value) for name, value in lower if name not in named and canonical_name(name) not in dropped]
