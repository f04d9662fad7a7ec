"""The arguments of `Table.valkey`, also as the query of a URL, and the counters of a table."""

from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from ...errors import check_choice, shortened
from ...quota import checked_int
from ..memory import check_name
from .address import without_password

# The arguments that the query of a URL may have, beside those of the connection.
_IN_URL = {"name": str, "timeout": float, "unreachable": str, "hosts": int, "remember": float, "lease": float}
_IN_URL |= {"durable": int, "after_failover": str}
AFTER_FAILOVER = "as-is", "empty"
UNREACHABLE = "deny", "allow", "raise", "share"


class Safety(NamedTuple):
    """The promise of an engine with replicas.

    Attributes:
        durable: how many replicas have to confirm a decision.
        after_failover: what a new primary takes keys for: `"as-is"` or `"empty"`.
    """

    durable: int = 0
    after_failover: str = "as-is"


class Options(NamedTuple):
    """The arguments of `Table.valkey`."""

    given: Any  # the URL or the client
    name: str
    timeout: float
    unreachable: str
    hosts: int | None
    remember: float
    lease: float | None
    safety: "Safety"

    def check(self) -> None:
        """Raise a TypeError or ValueError for a value that is not possible."""
        check_name(self.name)
        check_choice(self.unreachable, "unreachable", UNREACHABLE)
        lease = 1 if self.lease is None else self.lease
        for seconds, least, argument in (
            (self.timeout, 0.001, "timeout"),
            (self.remember, 0, "remember"),
            (lease, 0.001, "lease"),
        ):
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not least <= seconds <= 3_600:
                raise ValueError(f"{argument}: expected seconds from {least} to 3600, got {seconds!r}")
        if (self.hosts is not None) != (self.unreachable == "share"):
            raise ValueError(f"hosts: expected for unreachable='share' and only for it, got hosts={self.hosts!r}")
        if self.hosts is not None:
            checked_int(self.hosts, "hosts")
        checked_int(self.safety.durable, "durable", least=0)
        check_choice(self.safety.after_failover, "after_failover", AFTER_FAILOVER)


def checked_options(
    given: Any,
    name: str,
    timeout: float,
    unreachable: str,
    hosts: int | None,
    remember: float,
    lease: float | None,
    durable: int,
    after_failover: str,
) -> Options:
    """Return the arguments of `Table.valkey`.

    Raises:
        TypeError, ValueError: a value is not possible.
    """
    options = Options(given, name, timeout, unreachable, hosts, remember, lease, Safety(durable, after_failover))
    options.check()
    return options


class Traffic(NamedTuple):
    """The requests of a process to an engine since it started; not counted exactly while threads race.

    Attributes:
        round_trips: requests to the engine, by all tables on it that have the same URL and timeout.
        unanswered: those that the engine did not answer in time.
        remembered: decisions of this table that were refusals which this process remembered.
        fallbacks: decisions of this table by `unreachable=`.
        granted: what this process took in advance for its host's leases, in costs.
        returned: what of that it gave back.
        is_open: whether the engine is away as far as this process knows, so that it is not asked.
        outages: how often that began.
    """

    round_trips: int
    unanswered: int
    remembered: int
    fallbacks: int
    granted: int
    returned: int
    is_open: bool
    outages: int


def split_url(place: str) -> tuple[str, dict[str, Any]]:
    """Split a URL such as `valkey://host:6379/0?name=api&timeout=0.1` into the engine's and the arguments of a table.

    Raises:
        ValueError: it has no name, or an argument is not of its type.
    """
    parts = urlsplit(place)
    options: dict[str, Any] = {}
    rest = []
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in _IN_URL:
            rest.append((key, value))
            continue
        try:
            options[key] = _IN_URL[key](value)
        except ValueError:
            raise ValueError(f"url: {key}: expected a number, got {value!r}") from None
    if "name" not in options:
        raise ValueError(f"url: expected the table's name, as in ?name=api, got {shortened(without_password(place))}")
    return parts._replace(query=urlencode(rest)).geturl(), options
