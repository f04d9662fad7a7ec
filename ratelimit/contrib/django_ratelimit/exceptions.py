"""The exception of a blocked request."""

from django.core.exceptions import PermissionDenied


class Ratelimited(PermissionDenied):  # type: ignore[misc]  # Django has no types
    """A request was blocked. Django answers 403, and RatelimitMiddleware calls the view RATELIMIT_VIEW.

    Attributes:
        retry_after: seconds until the window ends; None if that is not known.
    """

    retry_after: int | None = None
