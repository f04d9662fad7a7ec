"""One limit for all workers: `gunicorn -w 4 shared_limit:app`, or `uvicorn --workers 4 shared_limit:asgi`."""

import os

from ratelimit import Table, TokenBucket

limiter = TokenBucket("100/day", table=Table.shared(os.environ.get("LIMIT_TABLE", "myapp")))


def app(environ, start_response):
    allowed = limiter.allow(environ["REMOTE_ADDR"])
    start_response("200 OK" if allowed else "429 Too Many Requests", [("Content-Type", "text/plain")])
    return [b"%d\n" % os.getpid()]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        return
    allowed = limiter.allow(scope["client"][0])
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200 if allowed else 429, "headers": headers})
    await send({"type": "http.response.body", "body": b"%d\n" % os.getpid()})
