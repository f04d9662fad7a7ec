"""The error of a request that cannot be answered."""


class BadRequest(Exception):
    """A request that is not understood; its connection is closed after the answer.

    Attributes:
        status: of the answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
