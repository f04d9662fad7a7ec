"""Conditions that a request must meet before its integration is asked."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from ..._configuration.base import model
from ..._configuration.fields import Many, NamesLike, Text, matching, no_names
from ..._configuration.problems import Problem
from ..backends.validated import CONTENT_TYPE, PARAMETER
from ..schemas import check_schema
from .fields import nested

Schema = Annotated[Any, nested("a JSON Schema", check_schema), WithJsonSchema({"type": "object"})]
Parameter = Annotated[
    Text,
    matching(
        PARAMETER,
        "a parameter such as 'header.x-tenant' or 'querystring.page'",
    ),
]
ContentType = Annotated[
    str,
    matching(CONTENT_TYPE, "a content type such as 'application/json', or '$default'"),
    AfterValidator(str.lower),
]


@model
class Validation:
    """The parameters and the body of a request. One without them is answered with 400; it has spent its tokens."""

    parameters: Many[Parameter] = ()
    """Headers and parameters of the query that must be there, and not blank: `header.x-tenant`, `querystring.page`."""
    body: NamesLike[ContentType, Schema] = Field(default_factory=no_names)
    """JSON Schemas (draft 4) of bodies by content type; `$default` is for all types that are not listed. A body of
    another type is not checked. `{$ref: Pet}` is the model of that name, of the API's `models`."""

    def problems(self) -> Iterator[Problem]:
        if not self.parameters and not self.body:
            yield Problem((), "expected parameters or body: without them nothing is checked")
