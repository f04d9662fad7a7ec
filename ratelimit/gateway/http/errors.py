"""How a request ends before its answer."""


class BadValue(ValueError):
    """A value from a request that may not be used where a template puts it."""


class Refusal(Exception):
    """The gateway answers by itself, with a gateway response.

    Args:
        type: of the gateway response, such as "THROTTLED".
        message: for the log; the client gets the text of the type.
        headers: further headers of the answer.
        shown: what the client gets in place of the text of the type.
    """

    def __init__(
        self, type: str, message: str = "", headers: tuple[tuple[bytes, bytes], ...] = (), shown: str = ""
    ) -> None:
        self.type = type
        self.message = message
        self.headers = headers
        self.shown = shown


class ClientDisconnected(Exception):
    """The client closed its connection before its request was complete."""
