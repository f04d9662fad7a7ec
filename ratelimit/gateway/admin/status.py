"""The data of the status page."""

import os
from collections.abc import Mapping
from typing import Any

from ..backends.address import Address
from ..compiled import CompiledRoute
from ..routing.router import Variant
from ..site import Site
from ..throttling.calendar import day_of
from ..throttling.levels import ClientThrottle, Throttle
from ..throttling.usage_plan import Calendar, UsagePlan

MAX_KEYS_SHOWN = 100  # of a plan


def status(site: Site, now_ns: int, started_ns: int, connections: Mapping[str, int]) -> dict[str, Any]:
    """Return the data of the status page, ready for JSON.

    Args:
        now_ns, started_ns: moments since the epoch: the present one, and the start of the gateway.
        connections: the number of WebSockets by stage.
    """
    configuration = site.configuration
    return {
        "now": now_ns / 1e9,
        "started": started_ns / 1e9,
        "worker": os.getpid(),
        "connections": sum(connections.values()),
        "account": throttle_text(configuration.throttle),
        "client_throttle": client_text(configuration.client_throttle),
        "shadow": configuration.shadow,
        "unrouted": site.unrouted.totals(),
        "stages": [
            {**_stage(site, one), "connections": connections.get(f"{one.api}/{one.stage}", 0)}
            for one in site.variants()
        ],
        "backends": [_backend(address) for address in site.addresses()],
        "plans": [_plan(plan, now_ns) for plan in site.plans.values()],
    }


def _stage(site: Site, variant: Variant[CompiledRoute]) -> dict[str, Any]:
    api = site.configuration.apis[variant.api]
    stage = api.stages[variant.stage]
    percent = stage.canary.percent if stage.canary else 0.0
    return {
        "api": variant.api,
        "type": api.type,
        "stage": variant.stage,
        "side": "canary" if variant.is_canary else "base",
        "percent": percent if variant.is_canary else 100 - percent,
        "deployment": variant.deployment,
        "throttle": throttle_text(stage.throttle),
        "client_throttle": client_text(stage.client_throttle),
        "shadow": site.configuration.shadow or stage.shadow,
        "routes": [
            {
                "key": key,
                "throttle": _route_throttle(stage.client_route_throttles, stage.route_throttles, key),
                **route.meter.totals(),
            }
            for key, route in variant.routes.items()
            if route.meter is not None
        ],
    }


def _backend(address: Address) -> dict[str, Any]:
    """Return the counts of a backend; `rests` is about this process alone."""
    found: dict[str, Any] = {"name": address.name, "rests": address.rests}
    if address.meter is not None:
        found.update(address.meter.backend_totals())
    return found


def _plan(plan: UsagePlan, now_ns: int) -> dict[str, Any]:
    today = day_of(now_ns)
    return {
        "name": plan.name,
        "throttle": throttle_text(plan.plan.throttle),
        "quota": quota_text(plan.plan.quota),
        "stages": list(plan.plan.stages),
        "keys": [
            {"name": key, "today": next(iter(plan.usage(key, today, today).values()))}
            for key in plan.keys[:MAX_KEYS_SHOWN]
        ],
    }


def throttle_text(throttle: Throttle | None) -> str | None:
    """Format a throttle."""
    if throttle is None:
        return None
    return f"{throttle.rate:g}/s, burst {throttle.burst}" + (", shadow" if throttle.shadow else "")


def client_text(throttle: ClientThrottle | None) -> str | None:
    """Format a throttle of each client."""
    return None if throttle is None else f"{throttle_text(throttle)}, by {', '.join(throttle.by)}"


def _route_throttle(each: Mapping[str, ClientThrottle], shared: Mapping[str, Throttle], key: str) -> str | None:
    """Format the throttles of a route: of each client, and of all together."""
    texts = [client_text(each.get(key) or each.get("*")), throttle_text(shared.get(key) or shared.get("*"))]
    return "; ".join(text for text in texts if text) or None


def quota_text(quota: Calendar | None) -> str | None:
    """Format a quota."""
    if quota is None:
        return None
    return f"{quota.limit} per {quota.period.lower()}" + (", shadow" if quota.shadow else "")
