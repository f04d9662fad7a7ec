"""The rule by which an engine decides for a table with leases, so that all that hosts spend keeps the quota's promise.

The engine grants at most L before a host spends, where L is the length of a lease. So all that hosts spend in an
interval of length T was granted within T + L. The engine's rule leaves room for L; docs/hosts.md has the proofs.
"""

from .._engine.constants import Algorithm
from .._limiter.parameters import RuleParameters

# A lease ends with its window, which costs nothing.
WINDOWS = Algorithm.FIXED_WINDOW, Algorithm.FIRST_WINDOW, Algorithm.CALENDAR_WINDOW


def price(parameters: RuleParameters, lease_us: int) -> int:
    """Return by how much a token bucket's burst is smaller: what its rate gives during a lease, rounded up."""
    return -(-lease_us * 1_000 * parameters.unit // parameters.interval)


def can_be_leased(parameters: RuleParameters, lease_us: int) -> bool:
    """Return whether hosts can take leases under this quota."""
    if parameters.limit == 0:
        return False
    if parameters.algorithm == Algorithm.TOKEN_BUCKET:
        return parameters.limit > price(parameters, lease_us)
    return parameters.algorithm in (*WINDOWS, Algorithm.SLIDING_LOG)


def check_lease(parameters: RuleParameters, lease_us: int) -> None:
    """Refuse a quota under which hosts cannot take leases."""
    if can_be_leased(parameters, lease_us):
        return
    if parameters.algorithm == Algorithm.TOKEN_BUCKET and parameters.limit:
        burst, least = parameters.limit, price(parameters, lease_us)
        raise ValueError(
            f"lease: expected one in which quota {parameters.quota} gives less than its burst of {burst}, got "
            f"{lease_us / 1e6} s, which gives {least}"
        )
    raise ValueError(
        f"lease: expected none with quota {parameters.quota}; a TokenBucket, a FixedWindow and a SlidingLog with a "
        "limit from 1 have leases"
    )


def engine_parameters(parameters: RuleParameters, lease_us: int) -> RuleParameters:
    """Return the rule of an engine for a quota. One that cannot be leased is decided singly, by the quota itself."""
    if can_be_leased(parameters, lease_us):
        if parameters.algorithm == Algorithm.TOKEN_BUCKET:
            limit = parameters.limit - price(parameters, lease_us)
            parameters = parameters._replace(limit=limit, tolerance=limit * parameters.interval)
        elif parameters.algorithm == Algorithm.SLIDING_LOG:
            parameters = parameters._replace(period=parameters.period + lease_us * 1_000)
    return parameters
