"""An API gateway that throttles: routes, stages, usage plans and limits, as an ASGI application.

Start with `ratelimit gateway gateway.yaml`, or with `Gateway(Configuration(...))` in Python. It needs the extra
`ratelimit-core[gateway]`.
"""

from .access.authorizers import Networks, client_address
from .app import Gateway
from .config.load import ConfigurationError, read_file
from .config.model import (
    AccessLog,
    Api,
    Authorizer,
    CalendarQuota,
    Canary,
    Configuration,
    GatewayResponse,
    Mock,
    Operator,
    Plan,
    Proxy,
    Route,
    Stage,
    Throttle,
    WebSocketLimits,
)
from .routing.canary import Split
from .routing.table import BadPath, Match, RouteKey, RouteTable, decode
from .throttling.chain import Chain, Ruling
from .throttling.levels import Limiters, Step
from .throttling.usage_plan import UsagePlan

__all__ = [
    "AccessLog",
    "Api",
    "Authorizer",
    "BadPath",
    "CalendarQuota",
    "Canary",
    "Chain",
    "Configuration",
    "ConfigurationError",
    "Gateway",
    "GatewayResponse",
    "Limiters",
    "Match",
    "Mock",
    "Networks",
    "Operator",
    "Plan",
    "Proxy",
    "Route",
    "RouteKey",
    "RouteTable",
    "Ruling",
    "Split",
    "Stage",
    "Step",
    "Throttle",
    "UsagePlan",
    "WebSocketLimits",
    "client_address",
    "decode",
    "read_file",
]
