"""Which client, URL and method a request has: the claims of clients, and the headers of the gateway (RFC 7239)."""

from .headers import Headers, canonical_name

# Headers of this kind are dropped from every request: a backend or a function could take them for the gateway's word.
CLAIMS = {
    b"ali-cdn-real-ip", b"cdn-src-ip", b"cf-connecting-ip", b"cf-connecting-ipv6", b"cf-pseudo-ipv4", b"client-ip",
    b"cloudfront-viewer-address", b"do-connecting-ip", b"fastly-client-ip", b"fly-client-ip", b"forwarded",
    b"front-end-https", b"incap-client-ip", b"proxy", b"remote-addr", b"true-client-ip", b"wl-proxy-client-ip",
    b"x-amzn-requestid", b"x-appengine-remote-addr", b"x-appengine-user-ip", b"x-client-ip", b"x-cluster-client-ip",
    b"x-connection-id", b"x-forward-for", b"x-host", b"x-http-host-override", b"x-http-method",
    b"x-http-method-override", b"x-http-path-override", b"x-method-override", b"x-nf-client-connection-ip",
    b"x-originating-ip", b"x-override-url", b"x-proxyuser-ip", b"x-real-host", b"x-real-ip", b"x-remote-addr",
    b"x-remote-ip", b"x-replaced-path", b"x-rewrite-url", b"x-scheme", b"x-sucuri-clientip", b"x-url-scheme",
    b"x-vercel-forwarded-for", b"x-vercel-proxied-for",
}  # fmt: skip
# So are families of them. The gateway writes three X-Forwarded headers of its own.
FAMILIES = (b"proxy-", b"x-azure-", b"x-envoy-", b"x-forwarded", b"x-original-")
# Spelled with `_`, these are other headers than those that the gateway reads, and the same to many backends.
READ = {b"content-length", b"content-type", b"x-api-key"}


def without_claims(headers: Headers) -> Headers:
    """Return the headers, with names in lower case, without those that claim what only the gateway may state.

    A header with a twin that is spelled with `-` is left out, too: a backend might take it for the checked one.
    """
    checked = READ | {name for name, _ in headers}
    return [one for one in headers if not _is_claim(one[0], canonical_name(one[0]), checked)]


def _is_claim(name: bytes, canonical: bytes, checked: set[bytes]) -> bool:
    return canonical in CLAIMS or canonical.startswith(FAMILIES) or (canonical != name and canonical in checked)


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
