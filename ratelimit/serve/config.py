"""The configuration file of `ratelimit serve`: named limits, Envoy's descriptors, and what both need."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from .._configuration.base import model
from .._configuration.fields import ENGINE_URL, ByName, Check, Flag, Many, Shorthand, Text, Whole, matching, no_names
from .._configuration.problems import ConfigurationError, Problem, expected, located, problems_of
from .._configuration.tree import Tree
from ..contrib._addresses import ClientAddress
from ..language import parse_limits
from .sources import Place, read_places, wanted_fields

LOOPBACK = ("127.0.0.0/8", "::1", "unix")
UNITS = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 604_800,
    "month": 2_592_000,
    "year": 31_536_000,
}
MAX_REQUESTS = 2**31 - 1  # in a window
MAX_DEPTH = 10  # of descriptors in each other


def _limit(text: str) -> str:
    parse_limits(text)
    return text


def _places(text: str) -> str:
    read_places(text)
    return text


def _proxies(networks: tuple[str, ...]) -> tuple[str, ...]:
    try:
        ClientAddress(networks)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("trusted_proxies: ")) from None
    return networks


def _cost(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _cost_text(text: str) -> str:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        in_request = text.startswith(("header ", "query "))
        if not in_request or not all(place.kind in ("header", "query") for place in read_places(text)):
            raise ValueError(expected("a whole number from 1, 'header NAME' or 'query NAME'", text))
    return text


Places = Annotated[Text, AfterValidator(_places)]


@model
class Limit:
    """A limit that is asked for by its name."""

    limit: Annotated[Text, AfterValidator(_limit)]
    """In the language of limits, such as `100/minute; 10/second`."""
    key: Many[Places] = ("address",)
    """The places of what is limited: `address`, `header NAME`, `query NAME` or `everyone`. `A or B` is the first of
    them that a request has; a list is all of them together."""
    cost: Annotated[Text, BeforeValidator(_cost), AfterValidator(_cost_text)] = "1"
    """The price of a request: a whole number, `header NAME` or `query NAME`."""
    absent: Literal["share", "allow", "refuse"] = "share"
    """A request that lacks the key: all such requests share one limit, or it is not limited, or it is refused."""
    shadow: Flag = False
    """Whether to admit all requests, and only count those that would be refused."""
    fail_open: Flag = True
    """Whether to admit requests if the limiter fails; otherwise the answer is 503."""

    def places(self) -> list[tuple[Place, ...]]:
        """Return where the parts of the key are."""
        return [read_places(part) for part in self.key]

    def wanted(self) -> set[bytes]:
        """Return the header fields that the limit needs, in lower case."""
        cost = () if self.cost.isdigit() else read_places(self.cost)
        return wanted_fields([*(place for part in self.places() for place in part), *cost])


@model
class Replaced:
    """A limit that is not applied beside this one."""

    name: Annotated[Text, Check("a name", bool)]


@model
class DescriptorLimit:
    """The limit of a descriptor, in a window of time."""

    unit: Annotated[Text, BeforeValidator(lambda text: text.lower() if isinstance(text, str) else text)] = ""
    """second, minute, hour, day, week, month (30 days) or year (365 days)."""
    requests_per_unit: Annotated[Whole, Check(f"from 0 to {MAX_REQUESTS}", lambda n: 0 <= n <= MAX_REQUESTS)] = 0
    unit_multiplier: Annotated[Whole, Check("from 1 to 1000000", lambda n: 1 <= n <= 10**6)] = 1
    """How many units a window has."""
    unlimited: Flag = False
    name: Text = ""
    replaces: Many[Replaced] = ()

    def problems(self) -> Iterator[Problem]:
        if self.unlimited and (self.unit or self.requests_per_unit):
            yield Problem((), "expected neither unit nor requests_per_unit for an unlimited descriptor")
        elif not self.unlimited and self.unit not in UNITS:
            yield Problem(("unit",), expected(f"one of {', '.join(UNITS)}", self.unit))
        if self.name and any(one.name == self.name for one in self.replaces):
            yield Problem(("replaces",), f"expected the names of other limits, got {self.name!r}, its own")


@model
class Descriptor:
    """A rule of Envoy's rate limit service, as envoyproxy/ratelimit has it."""

    key: Annotated[Text, Check("a key", bool)]
    value: Text = ""
    """The value that it applies to, in which `*` stands for any text; without it, each value is limited by itself."""
    rate_limit: DescriptorLimit | None = None
    descriptors: "Many[Descriptor]" = ()
    shadow_mode: Flag = False
    detailed_metric: Flag = False
    """Whether each value has a metric of its own."""
    share_threshold: Flag = False
    """Whether all values that match the `*` are limited together."""

    def problems(self) -> Iterator[Problem]:
        if self.share_threshold and "*" not in self.value:
            yield Problem(("share_threshold",), "expected a value with *")
        yield from duplicates(self.descriptors)


def duplicates(descriptors: "tuple[Descriptor, ...] | Any") -> Iterator[Problem]:
    """Find descriptors of one list with the same key and value."""
    seen = set()
    for number, one in enumerate(descriptors):
        if (one.key, one.value) in seen:
            yield Problem(("descriptors", number), f"duplicate descriptor {one.key!r}, {one.value!r}")
        seen.add((one.key, one.value))


@model
class Configuration:
    """A whole file."""

    limits: ByName[Annotated[Limit, Shorthand("limit", "the limit, with defaults for all else")]] = Field(
        default_factory=no_names
    )
    """Limits by their names, as in `/check/NAME`."""
    domain: Text = ""
    """The domain of the descriptors."""
    descriptors: Many[Descriptor] = ()
    """The rules of Envoy's rate limit service for the domain."""
    trusted_proxies: Annotated[Many[Text], AfterValidator(_proxies)] = LOOPBACK
    """The networks whose X-Forwarded-For is believed, and `unix` for Unix sockets."""
    headers: Literal["draft", "legacy", "none"] = "draft"
    """The header fields of answers: RateLimit and RateLimit-Policy, or X-RateLimit-..., or none of them."""
    tables: Annotated[
        Text,
        matching(
            rf"memory|shared:[A-Za-z0-9_][A-Za-z0-9_.-]*|file:.+|{ENGINE_URL}",
            "memory, shared:NAME, file:FOLDER or valkey://HOST:PORT/0?name=NAME",
        ),
    ] = "memory"
    """Where counts are kept: `memory` until it ends, `shared:NAME` until the host restarts, `file:FOLDER`, or
    `valkey://HOST:PORT/0?name=NAME` on a Valkey or Redis server, for several hosts."""
    max_keys: Annotated[Whole, Check("from 1 to 1000000000", lambda n: 1 <= n <= 10**9)] = 1_000_000
    """How many keys each limit can have live at once."""

    def problems(self) -> Iterator[Problem]:
        if not self.limits and not self.descriptors and not self.domain:
            yield Problem((), "missing required limits or descriptors")
        if self.descriptors and not self.domain:
            yield Problem((), "missing required domain")
        if self.domain and not self.descriptors:
            yield Problem(("domain",), "expected descriptors in the file")
        yield from duplicates(self.descriptors)


_ADAPTER = TypeAdapter(Configuration)


def read_file(path: str | Path) -> Configuration:
    """Read a configuration.

    Raises:
        ConfigurationError: with all problems, each as `file:line: path: expected X, got Y`.
        OSError: the file cannot be read.
    """
    return Document.read(path).configuration


class Document:
    """A configuration and the file that it was read from.

    Attributes:
        names: the names at the top of the file.
        domains: the descriptors of this file and of further ones, by their domains.
    """

    def __init__(self, file: str, tree: Tree, names: Iterable[str], configuration: Configuration) -> None:
        self.file = file
        self.tree = tree
        self.names = tuple(names)
        self.configuration = configuration
        self.domains: dict[str, Sequence[Descriptor]] = {}
        if configuration.domain:
            self.domains[configuration.domain] = configuration.descriptors

    @classmethod
    def read(cls, path: str | Path, *further: str | Path) -> "Document":
        """Read a file, and further ones that only have a domain with its descriptors.

        The exceptions are those of `read_file`.
        """
        document = cls._read(path)
        for other in map(cls._read, further):
            for name in other.names:
                if name not in ("domain", "descriptors"):
                    other.fail((name,), f"expected {name} in the first file, {document.file}")
            if other.configuration.domain in document.domains:
                other.fail(("domain",), f"expected a domain that no other file has, got {other.configuration.domain!r}")
            document.domains |= other.domains
        return document

    @classmethod
    def _read(cls, path: str | Path) -> "Document":
        file = str(path)
        tree = Tree()
        with located(file, partial(Problem.located, line_of=tree.line_of)):
            tree.compose(Path(path).read_bytes())
            value = tree.value()
            try:
                return cls(file, tree, value, _ADAPTER.validate_python(value))
            except ValidationError as error:
                raise ConfigurationError(problems_of(error, Configuration)) from None

    @contextmanager
    def located(self) -> Iterator[None]:
        """Add file and line to a ConfigurationError that is raised within."""
        with located(self.file, partial(Problem.located, line_of=self.tree.line_of)):
            yield

    def fail(self, path: tuple[str | int, ...], message: str) -> NoReturn:
        """Raise a ConfigurationError about a value of the file."""
        with self.located():
            raise ConfigurationError([Problem(path, message)])
        raise AssertionError("it has raised an error")
