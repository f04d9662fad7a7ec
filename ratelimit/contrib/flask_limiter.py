"""Flask-Limiter with one limit for all worker processes: `from ratelimit.contrib.flask_limiter import Limiter`.

All names of flask_limiter are here. Without a storage of its own, a Limiter counts in shared memory that only this
application of this user has.
"""

import flask
import flask_limiter
from flask_limiter import (
    ApplicationLimit,
    ExemptionScope,
    HeaderNames,
    Limit,
    MetaLimit,
    RateLimitExceeded,
    RequestLimit,
    RouteLimit,
)
from flask_limiter.constants import ConfigVars

from .limits import default_uri

__all__ = [
    "ApplicationLimit",
    "ExemptionScope",
    "HeaderNames",
    "Limit",
    "Limiter",
    "MetaLimit",
    "RateLimitExceeded",
    "RequestLimit",
    "RouteLimit",
]


class Limiter(flask_limiter.Limiter):
    """The Limiter of Flask-Limiter, whose default storage is shared by all worker processes of the host."""

    def init_app(self, app: flask.Flask) -> None:
        if not self._storage_uri:
            app.config.setdefault(ConfigVars.STORAGE_URI, default_uri(app.import_name))
        super().init_app(app)
