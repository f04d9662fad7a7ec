"""The limits: throttles, quotas by the calendar, and usage plans."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import core_schema

from ..._configuration.base import model
from ..._configuration.fields import Check, Day, Flag, Many, Names, Number, Text, Texts, Whole, between, no_names
from ..._configuration.problems import Problem, expected, fault
from ..._engine.constants import NS_PER_SECOND
from ...language import LimitSpec
from ..throttling.by_client import ByClient


@model
class Throttle:
    """A token bucket: the limit of one level. With a rate or a burst of 0 it admits nothing."""

    rate: Annotated[
        Number,
        Check(
            "0 or from 1e-6 to 1e9 requests per second",
            lambda rate: rate == 0 or 1e-6 <= rate <= 1e9,
            minimum=0,
            maximum=1e9,
        ),
    ]
    """Requests per second: 0, or from 1e-6 to 1e9."""
    burst: Annotated[Whole, between(0, 2**31 - 1)]
    """The size of the bucket: requests that are admitted at one moment."""
    shadow: Flag = False
    """Count the requests that this level would refuse, and admit them."""

    def problems(self) -> Iterator[Problem]:
        if self.rate and self.burst / self.rate >= 1e9:
            message = f"expected a bucket that fills within 30 years, got {self.burst} at a rate of {self.rate:g}"
            yield Problem(("burst",), message)


def _by(text: str) -> str:
    ByClient([text])
    return text


@model
class ClientThrottle(Throttle):
    """A token bucket for each client, besides those for all together. Clients share a table of `max_keys` buckets."""

    by: Annotated[Many[Annotated[Text, AfterValidator(_by)]], Check("at least one value", bool, minItems=1)] = (
        "address",
    )
    """The values that distinguish clients: `address`, `$request.header.x`, `$request.querystring.x`, `$request.path.x`,
    `$context.identity.apiKeyId`, `$context.authorizer.x` such as `$context.authorizer.claims.sub`, or a list of
    several. `address/24/56` is a network of 24 bits by IPv4 and 56 by IPv6; `address` one of 32 and 64 bits."""


class _LimitText:
    """A throttle that is written in the language of limits, such as `token-bucket 60/minute burst 40`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def _read(self, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        spec = LimitSpec.parse(value)
        if spec.algorithm != "token-bucket":
            raise fault("a token bucket, such as 'token-bucket 60/minute burst 40'")
        if spec.quota.is_unlimited:
            raise fault("a quota such as '60/minute'; leave the throttle out where there is no limit")
        rate = spec.quota.limit * NS_PER_SECOND / spec.quota.period_ns
        return {"rate": rate, "burst": dict(spec.options).get("burst", spec.quota.limit)}

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        text = {"type": "string", "description": "A token bucket, such as `60/minute burst 40`."}
        return {"anyOf": [handler(schema), text]}


Limit = Annotated[Throttle, _LimitText()]
ClientLimit = Annotated[ClientThrottle, _LimitText()]


@model
class CalendarQuota:
    """A number of requests in each day, week or month. Periods begin at 00:00 UTC; a week begins on Monday."""

    limit: Annotated[Whole, between(1, 2**40 - 1)]
    """Requests in one period."""
    period: Literal["DAY", "WEEK", "MONTH"]
    """The period: DAY, WEEK or MONTH."""
    offset: Annotated[Whole, between(0, 2**40 - 1)] = 0
    """Requests that are subtracted from the limit in the first period."""
    start: Day | None = None
    """A day of the first period. By default it is the period in which a key is first used."""
    shadow: Flag = False
    """Count the requests that the quota would refuse, and admit them."""

    def problems(self) -> Iterator[Problem]:
        if self.offset > self.limit:
            yield Problem(("offset",), expected(f"from 0 to the limit, {self.limit}", self.offset))
        if self.start is not None and not self.offset:
            yield Problem(("start",), "expected an offset with it: without one, no period differs from the others")


@model
class Plan:
    """A usage plan. Each of its API keys has these limits, over all stages of the plan together."""

    keys: Texts
    """Names of API keys."""
    stages: Texts
    """Stages, such as `petstore/prod`."""
    throttle: Limit | None = None
    """The limit of each key."""
    route_throttles: Names[Names[Limit]] = Field(default_factory=no_names)
    """The limit of each key at one route: by stage, then by route key."""
    quota: CalendarQuota | None = None
    """The number of requests of each key in a day, week or month."""
    keys_file: Text | None = None
    """A YAML file of further API keys, each a name and a value. It is read again when it changes, so keys are added and
    revoked at once."""
