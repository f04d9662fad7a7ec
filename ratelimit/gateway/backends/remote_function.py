"""Functions that run elsewhere and are called over HTTP, such as containers with AWS's runtime interface emulator."""

import json
from typing import Any

from ..functions.process import FunctionError
from .balancer import Balancer, Target

INVOCATIONS = "/2015-03-31/functions/function/invocations"  # of the emulator
MAX_ANSWER = 6 * 1024 * 1024  # bytes, as Lambda's


class RemoteFunction:
    """Posts each event as JSON; the answer is the result.

    Args:
        balancer: its address.
        path: for the requests; by default that of AWS's runtime interface emulator.
    """

    def __init__(self, balancer: Balancer, path: str) -> None:
        self._balancer = balancer
        self._path = (path if path not in ("", "/") else INVOCATIONS).encode()

    async def invoke(self, event: dict[str, Any], timeout: float) -> Any:
        """Return the result of the function; see `Function`."""
        content = json.dumps(event).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        response = await self._balancer.send(Target(b"POST", self._path, headers, content), timeout)
        body = response.body
        if not isinstance(body, bytes):
            stream, pieces, size = body, [], 0
            try:
                async for piece in stream:
                    pieces.append(piece)
                    size += len(piece)
                    if size > MAX_ANSWER:
                        raise FunctionError(f"the result of the function is larger than {MAX_ANSWER} bytes")
            finally:
                await stream.aclose()
            body = b"".join(pieces)
        if response.status != 200:
            raise FunctionError(f"the function answered {response.status}")
        result = json.loads(body) if body else None
        failed = any(name.lower() == b"x-amz-function-error" for name, _ in response.headers)
        if failed or (isinstance(result, dict) and {"errorMessage", "errorType"} <= set(result)):
            raise FunctionError(str(result))
        return result
