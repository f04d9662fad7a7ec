"""Values of a configuration that are in the environment or in files of their own: `${env:NAME}`, `${file:PATH}`."""

import os
import re
from pathlib import Path as FilePath
from typing import Any

from ..._configuration.problems import Path, Problems

REFERENCE = r"\$\{(env|file):([^{}]+)\}"
MAX_FILE = 65_536  # bytes


class Filled(str):
    """A text whose references were replaced. Its repr, and so an error, has the references."""

    written: str

    def __repr__(self) -> str:
        return repr(self.written)


def with_secrets(value: Any, folder: FilePath) -> Any:
    """Return the values of a file with their references replaced.

    Args:
        value: dicts, lists and scalars.
        folder: to which files are relative.

    Raises: ConfigurationError with all that cannot be found.
    """
    problems = Problems()
    filled = _filled(value, folder, (), problems)
    problems.raise_any()
    return filled


def _filled(value: Any, folder: FilePath, path: Path, problems: Problems) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one, folder, (*path, name), problems) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, folder, (*path, i), problems) for i, one in enumerate(value)]
    if not isinstance(value, str) or "${" not in value or not re.search(REFERENCE, value):
        return value
    with problems.at(*path):
        text = Filled(re.sub(REFERENCE, lambda found: _secret(found[1], found[2], folder), value))
        text.written = value
        return text
    return value


def _secret(kind: str, name: str, folder: FilePath) -> str:
    if kind == "env":
        if name not in os.environ:
            raise ValueError(f"expected the environment variable {name!r}, which is not set")
        return os.environ[name]
    with (folder / name).open("rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise ValueError(f"expected at most {MAX_FILE} bytes in {name!r}")
    return content.decode().rstrip("\r\n")
