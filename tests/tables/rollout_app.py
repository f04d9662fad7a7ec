"""An application whose quota is in a file, as if it were in its code; it answers with its process and the limit."""

import os
from pathlib import Path

from ratelimit import Table, TokenBucket

limiter = TokenBucket(Path(os.environ["QUOTA_FILE"]).read_text(), table=Table.shared(os.environ["LIMIT_TABLE"]))


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d %d" % (os.getpid(), limiter.hit("key").limit)]


async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b"%d %d" % (os.getpid(), limiter.hit("key").limit)})
