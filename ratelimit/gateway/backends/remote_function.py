"""Functions that run elsewhere and are called over HTTP, such as containers with AWS's runtime interface emulator."""

import asyncio
import json
from typing import Any

from ..functions.process import FunctionError
from ..http.request import Request
from .balancer import Balancer, Target, collect

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

    async def invoke(self, event: dict[str, Any], timeout: float, request: Request) -> Any:
        """Return the result of the function; see `Function`."""
        ends = asyncio.get_running_loop().time() + timeout
        content = json.dumps(event).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        target = Target(b"POST", self._path, headers, content, request.client)
        response = await self._balancer.send(target, timeout)
        async with asyncio.timeout_at(ends):
            body = await collect(request, response, MAX_ANSWER)
        if response.status != 200:
            raise FunctionError(f"the function answered {response.status}")
        result = json.loads(body) if body else None
        failed = any(name.lower() == b"x-amz-function-error" for name, _ in response.headers)
        if failed or (isinstance(result, dict) and {"errorMessage", "errorType"} <= set(result)):
            raise FunctionError(str(result))
        return result
