"""The objects that answer, made from a file."""

from .._configuration.problems import Problems
from .._limiter.headers import Style
from ..language import parse_limits
from .answers import Answer, document, plain
from .check import Check, Checks
from .config import Document, Limit
from .counts import CONTENT_TYPE, FOREVER, Counters
from .descriptors import Rules
from .head import HeadReader
from .sources import Addresses, cost_of, key_of, read_places
from .tables import AnyLimiter, Tables

MAX_HEAD = 16_384  # bytes
# How a program asks, and the status of its refusals. nginx makes a 500 of a 429, and passes a 403.
FORMS = {"check": 429, "auth_request": 403}
ACCEPT = b"accept"
# The results of requests that lack the key; those that share a limit are decided.
ABSENT = {"share": None, "allow": "absent_allowed", "refuse": "absent_refused"}


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
        style: Style = None if configuration.headers == "none" else configuration.headers
        self.counters = Counters(tables.counts(FOREVER))
        addresses = Addresses(configuration.trusted_proxies)
        problems = Problems()
        self._checks: list[Check] = []
        wanted = {ACCEPT}
        for name, limit in configuration.limits.items():
            with problems.at("limits", name):
                limiter = tables.limiter(name, parse_limits(limit.limit))
                self._checks.append(self._check(name, limit, limiter, addresses))
                wanted |= limit.wanted()
        self.rules = {
            domain: Rules(domain, descriptors, tables, self.counters)
            for domain, descriptors in document.domains.items()
        }
        problems.raise_any()
        routes = {
            f"/{form}/{check.name}".encode(): (check, status)
            for form, status in FORMS.items()
            for check in self._checks
        }
        self.checks = Checks(routes, style)
        self.reader = HeadReader(wanted, MAX_HEAD)
        tables.apply_changes()

    def _check(self, name: str, limit: Limit, limiter: AnyLimiter, addresses: Addresses) -> Check:
        key = key_of(limit.places(), addresses)
        return Check(
            name,
            limiter,
            key=key,
            address=addresses.find if key == addresses.of else None,
            cost=int(limit.cost) if limit.cost.isdigit() else cost_of(read_places(limit.cost)),
            absent=ABSENT[limit.absent],
            refused="shadow" if limit.shadow else "refused",
            failed="failed_open" if limit.fail_open else "failed_closed",
            counting=self.counters.of("limit", (("limit", name),)).adding,
        )

    def page(self, target: bytes) -> Answer:
        """Answer a request that is not about a limit."""
        path, _, _ = target.partition(b"?")
        if path == b"/health":
            return plain(200, "ok")
        if path == b"/metrics":
            limiters = [
                (f"{check.name}.{number}", limiter)
                for check in self._checks
                for number, limiter in enumerate(getattr(check.limiter, "limiters", (check.limiter,)), 1)
            ]
            limiters += dict(one for rules in self.rules.values() for one in rules.windows.limiters()).items()
            return document(200, self.counters.text(limiters), CONTENT_TYPE)
        return plain(404, "expected /check/NAME or /auth_request/NAME with a name of the file, /health or /metrics")
