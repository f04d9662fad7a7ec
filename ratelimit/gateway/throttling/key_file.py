"""API keys in a file of their own, which may be added and revoked at any time."""

import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from ..._configuration.problems import ConfigurationError, excerpt
from ..._configuration.tree import Tree

log = logging.getLogger("ratelimit.gateway")
NAME, NAME_TEXT = r"[^\s/]+", "a name without spaces and slashes"
VALUE, VALUE_TEXT = "[!-~]{20,128}", "20 to 128 printable ASCII characters"


class KeyFile:
    """The API keys of a YAML file, each a name and a value. It is read again when it has changed.

    Args:
        path: of the file.
        taken: the API keys of the configuration by name, which it may not repeat.

    Attributes:
        path: of the file.

    Raises: OSError or ValueError for a file that cannot be used. Later the former keys hold on, and the log has why.
    """

    def __init__(self, path: str, taken: Mapping[str, str]) -> None:
        self.path = path
        self._taken_names = frozenset(taken)
        self._taken_values = frozenset(taken.values())
        self._state = self._look()
        self._values, self._names = self._read()

    @property
    def names(self) -> Mapping[str, str]:
        """The name of each key by its value, as the file has it now."""
        self._refresh()
        return self._names

    @property
    def values(self) -> Mapping[str, str]:
        """The value of each key by its name, as the file has it now."""
        self._refresh()
        return self._values

    def _refresh(self) -> None:
        state = self._look()
        if state != self._state:
            self._state = state
            try:
                self._values, self._names = self._read()
                log.info("read the API keys of %s again", self.path)
            except (OSError, ValueError) as error:
                log.error("the API keys of %s stay as they were: %s", self.path, error)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> tuple[dict[str, str], dict[str, str]]:
        tree = Tree()
        with open(self.path, "rb") as file:
            content = file.read()
        given: Any = {}
        try:
            if content.strip():
                tree.compose(content)
                given = tree.value() or {}
        except ConfigurationError as error:
            raise ValueError(f"{self.path}: {error}") from error
        if not isinstance(given, dict):
            raise ValueError(f"{self.path}: expected names and their values")
        values: dict[str, str] = {}
        names: dict[str, str] = {}
        for name, value in given.items():
            text = getattr(value, "text", value)  # a number stands for its digits
            if not re.fullmatch(NAME, name):
                raise ValueError(f"{self.path}: expected {NAME_TEXT}, got {excerpt(name)}")
            if not isinstance(text, str) or not re.fullmatch(VALUE, text):
                raise ValueError(f"{self.path}: {name}: expected {VALUE_TEXT}")
            if name in self._taken_names or text in names or text in self._taken_values:
                raise ValueError(f"{self.path}: {name}: expected a name and a value that no other key has")
            values[name], names[text] = text, name
        return values, names
