"""An API gateway that throttles: routes, stages, usage plans and limits, as an ASGI application.

Start with `ratelimit gateway gateway.yaml`, or with `Gateway(Configuration(...))` in Python. It needs the extra
`ratelimit-core[gateway]`.
"""

from .._configuration.addresses import Networks, client_address
from .._configuration.problems import ConfigurationError
from .app import Gateway
from .config.access import Authorizer, Cors, Jwt
from .config.apis import Api, Canary, GatewayResponse, Stage, WebSocketLimits
from .config.backends import Mock, Proxy
from .config.functions import FunctionProcess
from .config.load import read_file
from .config.model import AccessLog, Configuration, Operator
from .config.routes import Route
from .config.throttles import CalendarQuota, ClientThrottle, Plan, Throttle
from .config.validation import Validation
from .http.paths import BadPath, decode
from .routing.canary import CanarySplit
from .routing.table import Match, RouteKey, RouteTable
from .throttling.chain import Chain, Ruling
from .throttling.levels import Level
from .throttling.limiters import Limiters
from .throttling.usage_plan import UsagePlan

__all__ = [
    "AccessLog",
    "Api",
    "Authorizer",
    "BadPath",
    "CalendarQuota",
    "Canary",
    "CanarySplit",
    "Chain",
    "ClientThrottle",
    "Configuration",
    "ConfigurationError",
    "Cors",
    "FunctionProcess",
    "Gateway",
    "GatewayResponse",
    "Jwt",
    "Level",
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
    "Stage",
    "Throttle",
    "UsagePlan",
    "Validation",
    "WebSocketLimits",
    "client_address",
    "decode",
    "read_file",
]
