"""An API gateway that throttles: routes, stages, usage plans and limits, as an ASGI application.

Start with `ratelimit gateway gateway.yaml`, or with `Gateway(Configuration(...))` in Python. It needs the extra
`ratelimit-core[gateway]`.
"""

from .access import Networks, client_address
from .app import Gateway
from .canary import Split
from .chain import Chain, Ruling
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
from .plans import UsagePlan
from .routes import BadPath, Match, RouteKey, RouteTable, decode
from .throttle import Limiters, Step

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
