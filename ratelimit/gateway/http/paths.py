"""Paths: decoded segment by segment, and refused where two programs could understand them differently."""

import re
from urllib.parse import unquote_to_bytes

from .errors import BadValue

SLASH = "\0"  # represents an encoded slash in a decoded path, which cannot contain it otherwise
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))  # characters that are not encoded a second time
IN_SEGMENT = "~!$&'()*,;=:@"  # characters that need no encoding in a segment, besides letters, digits, - . and _
_UNUSUAL = re.compile(rb"[^!-~]|[%\\]|//|/\.")  # what a plain path does not have
_BROKEN = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class BadPath(BadValue):
    """A path that two programs could understand in two ways."""


def decode(raw_path: bytes, encoded_slash: bool = False) -> str:
    """Decode a path segment by segment, for `RouteTable.match`; an encoded slash becomes `\\0`.

    Raises: BadPath for what a backend might understand differently: empty and dot segments (also encoded),
        backslashes, control characters, broken or non-UTF-8 encodings, and `%2F` unless `encoded_slash`.
    """
    if raw_path[:1] == b"/" and _UNUSUAL.search(raw_path) is None:
        return raw_path.decode("ascii")
    if raw_path[:1] != b"/":
        raise BadPath("the path has no leading slash")
    if _BROKEN.search(raw_path):
        raise BadPath("the path has a % without two digits")
    try:
        segments = [unquote_to_bytes(part).decode() for part in raw_path[1:].split(b"/")]
    except UnicodeDecodeError:
        raise BadPath("the path is not UTF-8") from None
    whole = "/".join(segments)
    if "\\" in whole:
        raise BadPath("the path has a backslash")
    if any(ord(char) < 32 or ord(char) == 127 for char in whole):
        raise BadPath("the path has a control character")
    if not encoded_slash and any("/" in segment for segment in segments):
        raise BadPath("the path has an encoded slash")
    inner = whole.split("/")
    dots = any(segment.partition(";")[0] in (".", "..") for segment in inner)  # some cut `;parameters` off first
    if dots:
        raise BadPath("the path has a dot segment")
    if "" in inner[:-1] or segments[-1].endswith("/"):
        raise BadPath("the path has an empty segment")
    return "/" + "/".join(segment.replace("/", SLASH) for segment in segments)


def within(path: str, root: str) -> str:
    """Return a path within the application that is mounted at a root; one that does not begin with it as it is."""
    root = root.rstrip("/")
    return path[len(root) :] or "/" if f"{path}/".startswith(f"{root}/") else path
