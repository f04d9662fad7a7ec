"""Which client, URL and method a request has: the claims of clients, and the headers of the gateway (RFC 7239)."""

from .headers import Headers, canonical_name

# Headers of this kind are dropped from every request: a backend or a function could take them for the gateway's word.
# So is every X-Forwarded header; the gateway writes its own three.
CLAIMS = {
    b"cf-connecting-ip", b"client-ip", b"fastly-client-ip", b"forwarded", b"proxy", b"true-client-ip", b"x-client-ip",
    b"x-cluster-client-ip", b"x-connection-id", b"x-host", b"x-http-method", b"x-http-method-override",
    b"x-method-override", b"x-original-host", b"x-original-url", b"x-original-uri", b"x-real-ip", b"x-rewrite-url",
}  # fmt: skip


def is_claim(name: bytes) -> bool:
    """Whether a header claims what only the gateway may state."""
    name = canonical_name(name)
    return name in CLAIMS or name.startswith(b"x-forwarded")


def forwarded(headers: Headers, peer: str, scheme: str, trusted: bool) -> Headers:
    """Return the X-Forwarded headers of a request.

    Args:
        headers: as the client sent them.
        peer: the address of the connection; empty if it is not known.
        scheme: by which the client came.
        trusted: whether the peer is a proxy that is trusted to name the client.
    """
    chain = [value for name, value in headers if name == b"x-forwarded-for" and value] if trusted else []
    return [
        (b"x-forwarded-for", b", ".join([*chain, peer.encode()])),
        (b"x-forwarded-proto", scheme.encode()),
        (b"x-forwarded-host", dict(headers).get(b"host", b"")),
    ]
