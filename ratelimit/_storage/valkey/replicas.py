"""Promises over a failover: decisions that replicas confirm, and keys that a new primary takes for empty.

A replica that becomes the primary may lack the last writes. A primary has an identity, its replication id, and the key
`rl:primary` records since when which one decides. The first client that meets another identity there writes the moment,
and all send it with each request: the script takes every key for one that spent all at that moment.
"""

from typing import Any

from .options import Safety

_WRITES = {"EVALSHA", "EVAL", "SET", "DEL"}
_BORN = """
local known, born = string.match(redis.call('GET', KEYS[1]) or '', '^(%S+) (%d+)$')
if known == ARGV[1] then return born end
local now = redis.call('TIME')
born = (known or ARGV[2] == '1') and string.format('%.0f', now[1] * 1000000 + now[2]) or '0'
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. born)
return born
"""


class Replicas:
    """The replicas of one server, as its clients see them.

    Args:
        safety: the promise.
        timeout: seconds of a whole request.
        error: of decisions that too few replicas confirm.

    Attributes:
        born: when this primary began to decide, in microseconds; empty if it was always the primary.
    """

    def __init__(self, safety: Safety, timeout: float, error: type[Exception]) -> None:
        self.born = b""
        self._durable, self._after_failover = safety
        self._wait = "WAIT", self._durable, max(1, int(timeout * 500))
        self._error = error
        self._identity = b""

    def asked(self, commands: list[Any]) -> list[Any]:
        """Return the commands as they are sent: with the birth, and with the question how many replicas have them."""
        if self.born:
            commands = [(*command, self.born) if command[0] == "EVALSHA" else command for command in commands]
        if self._durable and any(command[0] in _WRITES for command in commands):
            return [*commands, self._wait]
        return commands

    def confirmed(self, replies: list[Any], count: int) -> list[Any]:
        """Return the replies to so many commands.

        Raises:
            TimeoutError of the client: too few replicas have them.
        """
        for having in replies[count:]:
            if not isinstance(having, int) or having < self._durable:
                raise self._error(f"expected {self._durable} replicas that confirm, got {having}")
        return replies[:count]

    def first_question(self) -> Any:
        """Return the first command of a new connection, or None."""
        return ("INFO", "replication") if self._after_failover == "empty" else None

    def next_question(self, reply: Any) -> Any:
        """Return the command after a reply, or None."""
        if isinstance(reply, Exception):
            raise reply
        if b"master_replid:" not in reply:
            self.born = b"" if reply == b"0" else reply
            return None
        identity = reply.partition(b"master_replid:")[2].split()[0]
        if identity == self._identity:
            return None
        seen, self._identity = bool(self._identity), identity
        return "EVAL", _BORN, 1, "rl:primary", identity, int(seen)
