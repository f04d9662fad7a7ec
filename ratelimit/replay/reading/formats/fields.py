"""The names under which programs write the same field."""

import re
from collections.abc import Iterable

# Where a field is looked for when a log has none of its own name, in this order. `a.b` is the field b within a.
ALIASES: dict[str, tuple[str, ...]] = {
    "time": (
        "msec", "timestamp", "@timestamp", "time_iso8601", "time_local", "datetime", "ts", "start_time", "StartUTC",
        "time_unix", "EdgeStartTimestamp", "requestTime", "requestTimeEpoch", "request_time_epoch", "timeStamp",
        "eventTime", "event_time", "eventTimestamp", "started_at", "StartLocal", "date_time", "TimeGenerated",
        "__REALTIME_TIMESTAMP", "asctime", "t", "date", "Timestamp", "Time", "DateTime", "@t", "time_stamp",
    ),
    "client": (
        "client.ip", "client.address", "client_ip", "clientip", "clientIp", "clientIP", "client_addr", "clientAddress",
        "client_address", "client-ip", "ClientIP", "ClientHost", "ClientAddr", "remote_addr", "source.ip",
        "source.address", "request.client_ip", "request.remote_ip", "request.remote_addr",
        "request.ip", "req.remoteAddress", "req.ip", "httpRequest.clientIp",
        "httpRequest.remoteIp", "requestContext.identity.sourceIp",
        "requestContext.http.sourceIp", "identity.sourceIp", "sourceIp", "sourceIPAddress", "remote_ip", "remoteIp",
        "remoteIP", "remoteAddr", "remoteAddress", "remote_address", "remote_host", "remoteHost", "RemoteAddr",
        "cIp", "CIp", "c_ip", "c-ip", "properties.clientIp", "properties.clientIP", "properties.CIp",
        "properties.callerIpAddress", "callerIpAddress", "CallerIPAddress", "downstream_remote_address",
        "downstream_direct_remote_address", "nginx.access.remote_ip", "apache.access.remote_ip", "real_ip", "realip",
        "x_real_ip", "http_x_real_ip", "x_forwarded_for", "http_x_forwarded_for", "X-Forwarded-For", "src_ip", "srcip",
        "src", "ip", "ip_address", "ipAddress", "peer", "network.client.ip", "h", "remote",
    ),
    "user": (
        "remote_user", "user_id", "username", "user.name", "user.id", "ClientUsername", "cs-username", "userId",
        "request.user", "authenticatedUser", "requestContext.identity.user", "caller", "u",
    ),
    "method": (
        "request_method", "http.request.method", "http_method", "httpMethod", "verb", "request.method", "RequestMethod",
        "requestMethod", "httpRequest.requestMethod", "httpRequest.httpMethod", "ClientRequestMethod", "cs-method",
        "requestContext.http.method", "properties.httpMethod", "properties.CsMethod", "req.method", "m", "request",
    ),
    "target": (
        "request_uri", "url.original", "uri", "url", "request.uri", "request.url", "RequestPath", "requestUri",
        "requestUrl", "httpRequest.requestUrl", "httpRequest.uri", "ClientRequestURI", "ClientRequestPath",
        "cs-uri-stem", "resourcePath", "requestContext.path", "rawPath", "properties.requestUri",
        "properties.CsUriStem", "req.url", "path", "url.path", "U", "request",
    ),
    "status": (
        "http.response.status_code", "status_code", "statusCode", "response_code", "response.status",
        "DownstreamStatus", "OriginStatus", "httpRequest.status", "EdgeResponseStatus", "sc-status",
        "properties.httpStatus", "properties.httpStatusCode", "properties.ScStatus", "res.statusCode",
        "responseStatus", "code", "s",
    ),
    "size": ("body_bytes_sent", "bytes_sent", "bytes", "http.response.body.bytes", "sc-bytes", "DownstreamContentSize",
             "EdgeResponseBytes", "responseLength", "httpRequest.responseSize", "b"),
    "agent": (
        "http_user_agent", "user_agent", "user_agent.original", "userAgent", "UserAgent", "agent.original",
        "request_User-Agent", "request.headers.User-Agent", "request.headers.user-agent", "httpRequest.userAgent",
        "ClientRequestUserAgent", "cs(User-Agent)", "properties.userAgent", "properties.UserAgent",
        "requestContext.identity.userAgent", "header.user-agent", "a",
    ),
    "referer": ("http_referer", "referrer", "http.request.referrer", "request_Referer", "request.headers.Referer",
                "httpRequest.referer", "ClientRequestReferer", "cs(Referer)", "f"),
    "host": (
        "http_host", "server_name", "vhost", "url.domain", "request.host", "RequestHost", "ClientRequestHost",
        "cs-host", "cs(Host)", "x-host-header", "domainName", "authority",
    ),
}  # fmt: skip
ALIASES["path"] = ("uri", "target", *(name for name in ALIASES["target"] if name not in ("uri", "path")))
# The part of such a column that is meant: of "GET /search?q=1 HTTP/1.1", for instance, the path.
PARTS = {
    "method": r"^(?P<part>[A-Za-z]+)",
    "target": r"^(?:[A-Za-z]+ +)?(?P<part>[^ ]+)",
    "path": r"^(?:[A-Za-z]+ +)?(?:[a-z]+://[^/? ]*)?(?P<part>[^ ?]+)",
}


def candidates(field: str) -> list[str]:
    """Return the names by which a field is searched for, best first."""
    names = [field, *ALIASES.get(field, ())]
    if field.startswith("header."):
        header = field.removeprefix("header.")
        snake = header.lower().replace("-", "_")
        title = "-".join(part.capitalize() for part in header.split("-"))
        names += [f"http_{snake}", snake, f"request_{title}", f"cs({title})", header, header.lower(), title]
        names += [
            f"{place}.{name}" for place in ("request.headers", "headers") for name in (header, header.lower(), title)
        ]
    return list(dict.fromkeys(names))


def column_of(field: str, columns: Iterable[str]) -> str | None:
    """Return the column that holds a field, or None."""
    columns = set(columns)
    return next((name for name in candidates(field) if name in columns), None)


def shown(names: Iterable[str]) -> str:
    """Names for a message: printable, and not too many."""
    text = ", ".join(re.sub(r"[^\x20-\x7e]", lambda found: repr(found[0])[1:-1], name) for name in names)
    return text if len(text) <= 500 else f"{text[:500]}..."
