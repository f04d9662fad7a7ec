"""The connections to clients, as uvicorn makes them, with bounds: on heads, on frames, and on patience.

Beside supervisor.py, this package alone depends on uvicorn's internals.
"""

from .protocol import BoundedProtocol
from .websocket import BoundedWebSocket

__all__ = ["BoundedProtocol", "BoundedWebSocket"]
