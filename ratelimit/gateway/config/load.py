"""From a YAML file to a configuration. Everything that is wrong in it is reported at once, with its line."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path as FilePath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..._configuration.problems import ConfigurationError, Problem, lines, located, problems_of
from ..._configuration.tree import Tree
from ..aws.convert import Options, convert, in_template, is_template
from ..aws.tree import TemplateTree
from . import rules
from .apis import Api
from .model import Configuration
from .secrets import with_secrets
from .warnings import warnings

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
        locate: gives a problem its line, and its path in a template.
        configuration: the configuration.
        warnings: lines about what is probably a mistake.
        value: what a template was converted to; None for a file of our own.
    """

    file: str
    locate: Callable[[Problem], Problem]
    configuration: Configuration
    warnings: tuple[str, ...]
    value: dict[str, Any] | None = None

    @classmethod
    def read(cls, path: str | FilePath, options: Options | None = None) -> "Document":
        """Read a file, or a template with its options. The exceptions are those of `read_file`."""
        file, content = str(path), FilePath(path).read_bytes()
        tree, conversion = Tree(), None

        def in_file(problem: Problem) -> Problem:
            return problem.located(tree.line_of)  # of the template, once it is one

        with located(file, in_file):
            tree.compose(content)
            if is_template(tree.names()):
                tree = template = TemplateTree()
                template.compose(content)
                conversion = convert(template, FilePath(path).parent, options or Options())
            elif options is not None and (options.parameters or options.functions):
                raise ValueError("--parameter and --function are for templates")
        locate = in_file if conversion is None else partial(in_template, conversion.draft)
        with located(file, locate):
            value = with_secrets(tree.value(), FilePath(path).parent) if conversion is None else conversion.value
            configuration = _validated(value)
            rules.check(configuration)
        configuration = with_folders(configuration, FilePath(path).parent)
        found = [locate(one) for one in warnings(configuration) if conversion is None or _concerns_templates(one)]
        if conversion is not None:
            found = conversion.notes + found
        converted = None if conversion is None else conversion.value
        return cls(file, locate, configuration, tuple(lines(found, file, "warning: ")), converted)

    @contextmanager
    def located(self) -> Iterator[None]:
        """Add file and line to a ConfigurationError that is raised within."""
        with located(self.file, self.locate):
            yield


def _concerns_templates(problem: Problem) -> bool:
    """Whether a warning about a configuration is one about the template, too."""
    return problem.path[:1] in (("max_keys",), ("plans",))


def with_folders(configuration: Configuration, folder: FilePath) -> Configuration:
    """Return a configuration in which what the gateway reads is relative to the folder of the file."""

    def beside(path: str) -> str:
        return str((folder / path).absolute())

    functions = {
        name: replace(one, folder=beside(one.folder), layers=tuple(map(beside, one.layers)))
        for name, one in configuration.functions.items()
    }
    plans = {
        name: plan if plan.keys_file is None else replace(plan, keys_file=beside(plan.keys_file))
        for name, plan in configuration.plans.items()
    }
    apis = {name: with_keys_beside(api, beside) for name, api in configuration.apis.items()}
    return replace(configuration, apis=apis, functions=functions, plans=plans)


def with_keys_beside(api: Api, beside: Callable[[str], str]) -> Api:
    """Return an API whose authorizers read files of keys as `beside` names them."""
    given = {name: one.jwt for name, one in api.authorizers.items() if one.jwt is not None}
    files = {name: replace(jwt, keys=beside(jwt.keys_file)) for name, jwt in given.items() if jwt.keys_file is not None}
    moved = {name: replace(api.authorizers[name], jwt=jwt) for name, jwt in files.items()}
    return replace(api, authorizers={**api.authorizers, **moved}) if moved else api


def _validated(value: Any) -> Configuration:
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError as error:
        raise ConfigurationError(problems_of(error, Configuration)) from None
