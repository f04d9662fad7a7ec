"""From a YAML file to a configuration. Everything that is wrong in it is reported at once, with its line."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path as FilePath

from pydantic import TypeAdapter, ValidationError

from ..._configuration.problems import ConfigurationError, lines, problems_of
from ..._configuration.tree import Tree, located
from . import rules
from .model import Configuration

_ADAPTER = TypeAdapter(Configuration)


def read_file(path: str | FilePath) -> Configuration:
    """Read a configuration from a YAML file.

    Raises:
        ConfigurationError: with all problems, each as `file:line: path: expected X, got Y`.
        OSError: when the file cannot be read.
    """
    return Document.read(path).configuration


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration and the file that it was read from.

    Args:
        file: the name of the file.
        tree: its values with their lines.
        configuration: the configuration.
        warnings: lines about what is probably a mistake.
    """

    file: str
    tree: Tree
    configuration: Configuration
    warnings: tuple[str, ...]

    @classmethod
    def read(cls, path: str | FilePath) -> "Document":
        """Read a file. The exceptions are those of `read_file`."""
        file = str(path)
        with located(file, tree := Tree()):
            tree.compose(FilePath(path).read_bytes())
            configuration = _validated(tree)
            rules.check(configuration)
        warnings = [problem.located(tree.line_of) for problem in rules.warnings(configuration)]
        return cls(file, tree, configuration, tuple(lines(warnings, file, "warning: ")))

    @contextmanager
    def located(self) -> Iterator[None]:
        """Add file and line to a ConfigurationError that is raised within."""
        with located(self.file, self.tree):
            yield


def _validated(tree: Tree) -> Configuration:
    try:
        return _ADAPTER.validate_python(tree.value())
    except ValidationError as error:
        raise ConfigurationError(problems_of(error, Configuration)) from None
