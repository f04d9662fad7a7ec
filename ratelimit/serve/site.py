"""The objects that answer, made from a file."""

from .._configuration.problems import Problems
from .._limiter.headers import Style
from ..language import parse_limits
from .answers import Answer, document, plain, ruled
from .check import Check
from .config import Document
from .counts import CONTENT_TYPE, FOREVER, Counters
from .descriptors import Rules
from .head import Head, HeadReader
from .sources import Addresses
from .tables import Tables

MAX_HEAD = 16_384  # bytes
# How a program asks, and the status of its refusals. nginx makes a 500 of a 429, and passes a 403.
FORMS = {"check": 429, "auth_request": 403}
ACCEPT = b"accept"


class Site:
    """A configuration at work; immutable, so a reload replaces it as a whole.

    Args:
        document: the file.
        tables: the limiters, which a reload keeps.

    Raises:
        ConfigurationError: a limiter cannot be made, such as for a table of another program.
    """

    def __init__(self, document: Document, tables: Tables) -> None:
        configuration = document.configuration
        tables.discard_changes()
        self.configuration = configuration
        self._style: Style = None if configuration.headers == "none" else configuration.headers
        self.counters = Counters(tables.counts(FOREVER))
        addresses = Addresses(configuration.trusted_proxies)
        problems = Problems()
        self._checks: dict[bytes, Check] = {}
        for name, limit in configuration.limits.items():
            with problems.at("limits", name):
                limiter = tables.limiter(name, parse_limits(limit.limit))
                counter = self.counters.of("limit", (("limit", name),))
                self._checks[name.encode()] = Check(name, limit, limiter, addresses, counter)
        self.rules = {
            domain: Rules(domain, descriptors, tables, self.counters)
            for domain, descriptors in document.domains.items()
        }
        problems.raise_any()
        self._routes = {
            f"/{form}/{check.name}".encode(): (check, status)
            for form, status in FORMS.items()
            for check in self._checks.values()
        }
        wanted = {field for check in self._checks.values() for field in check.wanted}
        self.reader = HeadReader({ACCEPT, *wanted}, MAX_HEAD)
        tables.apply_changes()

    def answer(self, head: Head) -> Answer:
        """Answer a request."""
        route = self._routes.get(head.target)
        if route is None:
            path, _, head.query = head.target.partition(b"?")
            route = self._routes.get(path) or self._routes.get(b"/".join(path.split(b"/", 3)[:3]))
            if route is None:
                return self._page(path)
        check, refused = route
        try:
            ruling = check.decide(head)
        except ValueError as error:
            return plain(400, str(error))
        return ruled(ruling, self._style, refused, head.fields.get(ACCEPT, ""))

    def _page(self, path: bytes) -> Answer:
        if path == b"/health":
            return plain(200, "ok")
        if path == b"/metrics":
            limiters = [
                (f"{check.name}.{number}", limiter)
                for check in self._checks.values()
                for number, limiter in enumerate(getattr(check.limiter, "limiters", (check.limiter,)), 1)
            ]
            limiters += dict(one for rules in self.rules.values() for one in rules.windows.limiters()).items()
            return document(200, self.counters.text(limiters), CONTENT_TYPE)
        return plain(404, "expected /check/NAME or /auth_request/NAME with a name of the file, /health or /metrics")
