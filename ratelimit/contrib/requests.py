"""An adapter for requests whose requests wait for their turn.

session.mount("https://", RateLimitAdapter("10/second"))
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter

from ._outgoing import Cost, Outgoing
from ._policy import Key


def _host(request: PreparedRequest) -> str:
    return urlsplit(str(request.url)).netloc.rpartition("@")[2].lower()


class RateLimitAdapter(HTTPAdapter):
    """Send the requests of a Session in their turn, first come first served.

    Args:
        limit: a text such as "10/second", a limiter, a Budget, or a function of the PreparedRequest that returns one of
            them, or None for no limit.
        key: a function of the PreparedRequest that returns what is limited; by default the host and the port.
        cost: a whole number, or for a Budget the estimates, such as `{"tokens": 1_200}`; or a function of the
            PreparedRequest that returns it.
        used: a function of the answer that returns what was used of a Budget, such as `{"tokens": 812}`, or None to
            leave the estimates. It is not called for a stream of events.
        timeout: seconds; if a request would have to wait for longer, it raises WaitTimeout at once.
        retries: how often a request is sent again that the server refused with 429 or 503 and Retry-After.
        obey: send nothing as long as Retry-After or RateLimit of an answer asks, at most for a day.
        shared: a name in shared memory. With it, all processes of the host count together, and obey together.
        clock, max_keys: as for every limiter.
        options: the arguments of HTTPAdapter.
    """

    def __init__(
        self,
        limit: Any,
        *,
        key: Callable[[PreparedRequest], Key] | None = None,
        cost: Cost | Callable[[PreparedRequest], Cost] = 1,
        used: Callable[[Response], Mapping[str, int] | None] | None = None,
        timeout: float | None = None,
        retries: int = 0,
        obey: bool = True,
        shared: str | None = None,
        clock: Any = None,
        max_keys: int | None = None,
        **options: Any,
    ) -> None:
        self._outgoing = Outgoing(
            limit, _host, key=key, cost=cost, used=used, timeout=timeout, retries=retries, obey=obey, shared=shared,
            clock=clock, max_keys=max_keys,
        )  # fmt: skip
        super().__init__(**options)

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        turn = self._outgoing.turn(request)
        while True:
            turn.wait()
            response = super().send(request, *args, **options)
            if turn.settles(response.headers):
                turn.settle(response)
            repeatable = isinstance(request.body, (bytes, str, type(None)))
            if not turn.comes_again(response.status_code, response.headers, repeatable):
                return response
            response.content  # noqa: B018  (reads the rest, so that the connection can be used again)
            response.close()

    def clear(self) -> None:
        """Forget all keys, for tests."""
        self._outgoing.clear()
