"""A resource of a template."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..._configuration.problems import Path
from .values import as_mapping, merged


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a template.

    Args:
        name: its logical id.
        type: such as "AWS::Serverless::Function".
        properties: without intrinsic functions.
        path: of the properties in the file.
        ignored: the properties of Globals that it does not have; "*" for all.
    """

    name: str
    type: str
    properties: Mapping[str, Any]
    path: Path
    ignored: tuple[str, ...] = ()

    def with_globals(self, globals: Any) -> dict[str, Any]:
        """Return its properties merged with those of a section of Globals."""
        shared = {name: one for name, one in as_mapping(globals).items() if not {name, "*"} & set(self.ignored)}
        return merged(shared, self.properties)

    def get(self, name: str, default: Any = None) -> Any:
        """Return a property."""
        value = self.properties.get(name)
        return default if value is None else value

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a property that is an object; an empty one for a property of another kind."""
        return as_mapping(self.properties.get(name))
