"""The middleware that answers blocked requests."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from .._answers import refusal
from .exceptions import Ratelimited


class RatelimitMiddleware:
    """Answer requests that raised Ratelimited by the view whose dotted path is RATELIMIT_VIEW, with Retry-After.

    The view receives the request and the exception. Without the setting, the answer is a 429.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the answer to a blocked request."""
        if not isinstance(exception, Ratelimited):
            return None
        path = getattr(settings, "RATELIMIT_VIEW", None)
        if path is None:
            content_type, body = refusal(429, request.headers.get("Accept", ""))
            answer = HttpResponse(body, status=429, content_type=content_type)
        else:
            view = import_string(path)
            answer = (async_to_sync(view) if iscoroutinefunction(view) else view)(request, exception)
        if exception.retry_after is not None:
            answer.headers.setdefault("Retry-After", str(exception.retry_after))
        return answer
