"""Functions that run outside of the gateway's process."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from ..._configuration.base import model
from ..._configuration.fields import Names, Number, Text, Texts, Whole, between, matching, no_names, positive
from ..._configuration.problems import Problem


@model
class FunctionProcess:
    """A Python function that is called in processes of its own, or any function that is called over HTTP.

    A function with neither a handler nor a URL cannot be called: its routes answer 502.
    """

    handler: Annotated[Text, matching(r"[\w./-]+\.\w+", "a handler such as 'app.handler'")] | None = None
    """The module and the name of a Python function, such as `app.handler`."""
    folder: Text = "."
    """The folder of its code, relative to that of the file."""
    code: Text | None = None
    """The code of the module of the handler, in place of a folder."""
    layers: Texts = ()
    """Folders with further modules, or with a folder `python` of them."""
    environment: Names[Text] = Field(default_factory=no_names, repr=False)
    """Environment variables."""
    timeout: Annotated[Number, between(0.05, 900, "seconds")] = 3.0
    """Seconds after which a call is ended."""
    memory: Annotated[Whole, positive("MB")] = 128
    """The memory that its context reports, in MB."""
    url: Annotated[Text, matching(r"https?://[^/].*", "an address that begins with http:// or https://")] | None = None
    """Where the function runs, in place of a handler: events are posted there as JSON. An address without a path is
    that of AWS's runtime interface emulator."""

    def problems(self) -> Iterator[Problem]:
        if self.url is not None and self.handler is not None:
            yield Problem(("url",), "expected a handler or a url, got both")
        if self.code is not None and self.handler is None:
            yield Problem(("code",), "expected a handler with it")
