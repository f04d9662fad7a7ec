"""A template: its parameters, and its resources without intrinsic functions."""

from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from ..._configuration.problems import ConfigurationError, Path, Problem, Problems, expected, unknown
from .intrinsics import ACCOUNT, PSEUDO, REGION, Invalid, Resolver
from .references import PREFIX, References, Unknown
from .resource import Resource
from .tree import TemplateTree
from .values import as_list, as_mapping, as_number, as_text

TRANSFORMS = ("AWS::Serverless-2016-10-31", "AWS::LanguageExtensions")
NUMBERS = ("Number", "List<Number>")
IMPLICIT = {"ServerlessRestApi": "AWS::Serverless::Api", "ServerlessHttpApi": "AWS::Serverless::HttpApi"}
MAX_FILE = 16 * 1024 * 1024  # bytes of a file that a template includes: API Gateway imports 6 MB
_STAGES = ("AWS::ApiGateway::Stage", "AWS::ApiGatewayV2::Stage")
_NAMED = {  # the property that a reference to a resource gives, where the resource has it
    **dict.fromkeys(_STAGES, "StageName"),
    "AWS::ApiGateway::DomainName": "DomainName", "AWS::ApiGatewayV2::DomainName": "DomainName",
    "AWS::DynamoDB::Table": "TableName", "AWS::S3::Bucket": "BucketName", "AWS::Serverless::SimpleTable": "TableName",
}  # fmt: skip


def _asset(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the property of a resource whose value in S3 is, before a deployment by CDK, a local file or folder."""
    name, local = metadata.get("aws:asset:property"), metadata.get("aws:asset:path")
    return {name: local} if isinstance(name, str) and isinstance(local, str) else {}


def _bytes_of(file: FilePath) -> bytes:
    """Return the content of a file that a template names; raise a ValueError for a device, or a file without end."""
    if not file.is_file():
        raise ValueError("expected a file")
    with file.open("rb") as source:
        content = source.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise ValueError(f"expected at most {MAX_FILE} bytes")
    return content


def _function_arn(name: str) -> str:
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


def _like(value: str, part: str) -> str:
    """Return a part of a value, unknown where the value is."""
    return Unknown(part, value.parameter) if isinstance(value, Unknown) else part


def _check(values: list[str], kind: str, declared: Mapping[str, Any]) -> None:
    """Raise a ValueError for a value that a parameter may not have."""
    if kind == "CommaDelimitedList" and values == [""]:  # it is empty
        return
    choices = [as_text(one) for one in as_list(declared.get("AllowedValues"))]
    for value in values:
        if choices and value not in choices:
            raise ValueError(expected(f"one of {', '.join(choices)}", value))
        if kind in NUMBERS and isinstance(as_number(value), str):
            raise ValueError(expected("a number", value))


class Template:
    """The resources of a template.

    Args:
        tree: the file.
        folder: of the file, for files that it includes.
        parameters: values in place of the defaults.

    Attributes:
        resources: by logical id, without those whose condition does not hold.
        is_sam: whether it is a template of SAM.
        notes: about what differs from what an account would do.

    Raises: ConfigurationError with all that is wrong.
    """

    def __init__(self, tree: TemplateTree, folder: FilePath, parameters: Mapping[str, str]) -> None:
        self.tree = tree
        self.folder = folder
        self._problems = Problems()
        self._raw = as_mapping(tree.value())
        self.notes: list[Problem] = list(tree.notes)
        # files that it includes: the path of the content, and how much of that path is not in the file
        self._files: list[tuple[Path, int, str, TemplateTree]] = []
        transforms = as_list(self._raw.get("Transform"))
        self._apply([one for one in transforms if one not in TRANSFORMS])
        self._given = as_mapping(self._raw.get("Resources"))
        self.is_sam = TRANSFORMS[0] in transforms or any(
            self._type(name).startswith("AWS::Serverless::") for name in self._given
        )
        self._conditions: dict[str, Any] = {}
        self._above: dict[str, Path] = {}  # where in the file a resource is
        self._edges: dict[str, set[str]] = {}
        self._current = ""
        self._found: dict[tuple[str, str | None], Any] = {}  # what references give, each evaluated once
        self._dynamic = References({name: one for name, one in parameters.items() if name.startswith(PREFIX)})
        self._guesses = set(PSEUDO) - set(parameters)  # names whose values are not those of an account
        self._resolver = Resolver(
            {**PSEUDO, **self._parameters(parameters)},
            as_mapping(self._raw.get("Mappings")),
            self._conditions,
            self._reference,
            self._included,
            self._problems,
            self._guess,
        )
        self._expand()
        for name in self._conditions:
            with self._problems.at("Conditions", name):
                self._holds(name)
        shared = self._resolver.resolve(as_mapping(self._raw.get("Globals")), ("Globals",))
        self.globals = as_mapping(self._dynamic.fill(shared))
        self.resources = dict(self._resources())
        for name in sorted(self._dynamic.unused):
            self._problems.add(("Parameters",), f"expected {{{{{name}}}}} in the template for --parameter {name}")
        self._check_cycles()
        self._problems.raise_any()

    def note(self, path: Path, message: str) -> None:
        """Note a difference from what an account does."""
        for above, outside, file, tree in reversed(self._files):
            below = path[outside:]
            if path[: len(above)] == above and below and below[0] in tree.names():
                message = f"{message} ({file}:{tree.line_of(below)})"
                break
        problem = Problem(path, message, line=self.tree.line_of(path))
        if problem not in self.notes:
            self.notes.append(problem)

    def of_type(self, *types: str) -> Iterator[Resource]:
        """Yield the resources of these types."""
        return (one for one in self.resources.values() if one.type in types)

    def document(self) -> dict[str, Any]:
        """Return the OpenAPI document that the file is, without the intrinsic functions in its extensions."""
        found = as_mapping(self._extended(self._raw, ()))
        self._problems.raise_any()
        return found

    def _extended(self, value: Any, path: Path) -> Any:
        """Return a part of a document with its extensions evaluated: elsewhere `Ref` may be the name of a property."""
        if isinstance(value, list):
            return [self._extended(one, (*path, i)) for i, one in enumerate(value)]
        if not isinstance(value, dict):
            return value
        found: dict[str, Any] = {}
        for name, one in value.items():
            if str(name).lower().startswith("x-amazon-apigateway"):
                found.update(self._resolver.resolve({name: one}, path))
            else:
                found[name] = self._extended(one, (*path, name))
        return found

    def include(self, location: Any, path: Path, above: Path) -> Any:
        """Return the content of a local file that the template names; note a file that cannot be read.

        Args:
            location: of the file.
            path: of the property that names it.
            above: the path of its content.
        """
        try:
            with self._resolver.entered("file", str(location)):
                return self._resolver.resolve(self._content(location, path, above), path)
        except Invalid as error:
            raise ConfigurationError([Problem(path, str(error))]) from None

    def _content(self, location: Any, path: Path, above: Path) -> Any:
        """Return the content of a file with its intrinsic functions."""
        text = location if isinstance(location, str) else ""
        try:
            tree = TemplateTree()
            tree.compose(_bytes_of(self.folder / text))
            value = tree.value()
            self._files.append((above, len(above), text, tree))
            for one in tree.notes:
                self.note(path, f"{text}:{one.line}: {one}")
            return value
        except ConfigurationError as error:
            raise ConfigurationError(Problem(path, f"{text}: {one}") for one in error.problems) from error
        except (OSError, ValueError):
            self.note(path, f"the file {text or location!r} is not here, so what it defines is missing")
            return {}

    def _included(self, transforms: Any, path: Path) -> dict[str, Any]:
        """Return what `Fn::Transform` adds to an object."""
        found: dict[str, Any] = {}
        for location in self._locations(transforms, path):
            found.update(as_mapping(self.include(location, path, path)))
        return found

    def _apply(self, transforms: list[Any]) -> None:
        """Apply the transforms of the whole template that include a file; note the others."""
        named = [one if isinstance(one, dict) else {"Name": one} for one in transforms]
        for location in self._locations(named, ("Transform",)):
            for section, value in as_mapping(self._content(location, ("Transform",), ("Transform",))).items():
                own = self._raw.setdefault(section, {} if isinstance(value, dict) else value)
                if isinstance(value, dict) and isinstance(own, dict):
                    *_, file, tree = self._files[-1]
                    self._files += [((section, name), 0, file, tree) for name in value if name not in own]
                    self._raw[section] = {**value, **own}

    def _locations(self, transforms: Any, path: Path) -> Iterator[Any]:
        for one in map(as_mapping, as_list(transforms)):
            if one.get("Name") == "AWS::Include":
                yield as_mapping(one.get("Parameters")).get("Location")
            else:
                self.note(path, f"the transform {one.get('Name')!r} is not applied")

    # --- parameters

    def _parameters(self, given: Mapping[str, str]) -> dict[str, Any]:
        declared = as_mapping(self._raw.get("Parameters"))
        for name in given:
            if name not in declared and name not in PSEUDO and not name.startswith(PREFIX):
                self._problems.add(("Parameters",), unknown("parameter", name, list(declared)))
        found: dict[str, Any] = {name: value for name, value in given.items() if name in PSEUDO}
        for name, parameter in declared.items():
            kind = str(as_mapping(parameter).get("Type", "String"))
            default = as_mapping(parameter).get("Default")
            if name in given:
                value = given[name]
            elif default is None:
                value = self._guessed(name, kind, as_mapping(parameter))
            else:
                value = as_text(default)
                value = f"{{{{resolve:ssm:{value}}}}}" if kind.startswith("AWS::SSM::") else value
            many = kind == "CommaDelimitedList" or kind.startswith("List<") or "Value<List<" in kind
            found[name] = [_like(value, one.strip()) for one in value.split(",")] if many else value
            if name in given and not kind.startswith("AWS::SSM::"):
                with self._problems.at("Parameters", name):
                    _check(as_list(found[name]), kind, as_mapping(parameter))
        return found

    def _guessed(self, name: str, kind: str, declared: Mapping[str, Any]) -> str:
        """Return a value for a parameter without one."""
        choices = as_list(declared.get("AllowedValues"))
        least = declared.get("MinValue", 0) if kind in NUMBERS else name
        value = as_text(choices[0]) if choices else Unknown(as_text(least), name)
        self._guesses.add(name)
        self.note(("Parameters", name), f"the parameter has no default; {value!r} is used without --parameter")
        return value

    def _guess(self, given: Any, keys: list[str], path: Path) -> str | None:
        """Return the first key of a mapping for a reference to a value that is not that of an account."""
        name = as_mapping(given).get("Ref")
        if name not in self._guesses or not keys:
            return None
        self.note(path, f"the mapping has no key for {name}; {keys[0]!r} is used without --parameter {name}=...")
        return keys[0]

    # --- resources

    def _expand(self) -> None:
        """Add what Fn::Transform names in and under Resources, and repeat what is in Fn::ForEach."""
        for name, value, _ in self._resolver.repeated(as_mapping(self._raw.get("Conditions")), ("Conditions",)):
            self._conditions[name] = value
        self._include_into(self._given, ("Resources",))
        for name, value, path in list(self._resolver.repeated(self._given, ("Resources",))):
            self._given[name], self._above[name] = value, path
            self._include_into(as_mapping(value), (*path, name))
        for name in [one for one in self._given if one.startswith("Fn::ForEach::")]:
            del self._given[name]

    def _include_into(self, value: dict[str, Any], path: Path) -> None:
        """Add what `Fn::Transform` names to an object whose intrinsic functions are evaluated later."""
        for location in self._locations(value.pop("Fn::Transform", None), path):
            value.update(as_mapping(self._content(location, path, path)))

    def _resources(self) -> Iterator[tuple[str, Resource]]:
        for name, raw in self._given.items():
            path: Path = (*self._above[name], name)
            if not isinstance(raw, dict) or not isinstance(raw.get("Type"), str):
                self._problems.add(path, expected("a resource with a Type", raw))
                continue
            condition = raw.get("Condition")
            with self._problems.at(*path):
                if condition is not None and not self._holds(str(condition)):
                    continue
            self._current = name
            for other in as_list(raw.get("DependsOn")):
                self._edges.setdefault(name, set()).add(str(other))
                if other not in self._given and not self._is_generated(str(other)):
                    self._problems.add((*path, "DependsOn"), unknown("resource", str(other), list(self._given)))
            given = {**as_mapping(raw.get("Properties")), **_asset(as_mapping(raw.get("Metadata")))}
            properties = self._dynamic.fill(self._resolver.resolve(given, (*path, "Properties")))
            properties = self._with_document(as_mapping(properties), (*path, "Properties"))
            ignored = tuple(map(str, as_list(raw.get("IgnoreGlobals"))))
            yield name, Resource(name, raw["Type"], properties, (*path, "Properties"), ignored)
        self._current = ""

    def _with_document(self, properties: dict[str, Any], path: Path) -> dict[str, Any]:
        """Return properties with the OpenAPI document that one of them has as text."""
        for name in {"Body", "DefinitionBody"} & set(properties):
            if isinstance(text := properties[name], str) and text.lstrip().startswith(("{", "openapi", "swagger")):
                try:
                    tree = TemplateTree()
                    tree.compose(text.encode())
                    properties[name] = tree.value()
                except ConfigurationError as error:
                    raise ConfigurationError(Problem((*path, name), str(one)) for one in error.problems) from error
        return properties

    def _holds(self, condition: str) -> bool:
        try:
            return self._resolver.condition(condition)
        except Invalid as error:
            raise ValueError(str(error)) from None

    def _is_generated(self, name: str) -> bool:
        """Whether SAM makes a resource of this name."""
        known = (*IMPLICIT, "ServerlessUsagePlan", "ServerlessApiKey", "ServerlessDeploymentApplication")
        return name in known or bool(self._owner(name))

    def _owner(self, name: str) -> str:
        """Return the resource of SAM from which one of this name is made; empty for none."""
        serverless = [one for one in self._given if self._type(one).startswith("AWS::Serverless::")]
        return max((one for one in (*serverless, *IMPLICIT) if name.startswith(one)), key=len, default="")

    def _type(self, name: str) -> str:
        return str(as_mapping(self._given.get(name)).get("Type", IMPLICIT.get(name, "")))

    def _reference(self, name: str, attribute: str | None) -> Any:
        """Return what `!Ref name` or `!GetAtt name.attribute` gives."""
        base, _, part = name.partition(".")  # SAM: `!Ref Api.Stage`
        if name not in self._given and base in self._given and part:
            name, attribute = base, attribute or part
        if "Resources" not in self._raw:  # a document, whose names are those of a template elsewhere
            return _function_arn(name) if attribute == "Arn" else Unknown(f"{name}.{attribute}" if attribute else name)
        if name not in self._given and not self._is_generated(name):
            declared = [*as_mapping(self._raw.get("Parameters")), *self._given]
            raise Invalid(unknown("name", name, declared))
        if self._current and self._current != name:
            self._edges.setdefault(self._current, set()).add(name)
        if (name, attribute) not in self._found:
            kind, properties = self._type(name), as_mapping(as_mapping(self._given.get(name)).get("Properties"))
            self._found[name, attribute] = (
                self._value(name, kind, properties)
                if attribute is None
                else self._attribute(name, kind, attribute, properties)
            )
        return self._found[name, attribute]

    def _value(self, name: str, kind: str, properties: Mapping[str, Any]) -> Any:
        owner = self._owner(name) if name.endswith("Stage") and name not in self._given else ""
        if owner:  # SAM: ApiProdStage is the only stage of Api
            return self._reference(owner, "Stage")
        if kind in _NAMED and _NAMED[kind] in properties:
            return self._resolver.resolve(properties[_NAMED[kind]], ("Resources", name, "Properties", _NAMED[kind]))
        if kind in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
            given = self._resolver.resolve(properties.get("FunctionName", name), ("Resources", name, "Properties"))
            return given if ":" in str(given) else _function_arn(str(given))
        return name

    def _attribute(self, name: str, kind: str, attribute: str, properties: Mapping[str, Any]) -> str:
        if attribute in ("Arn", "Alias", "Version") and kind in ("AWS::Serverless::Function", "AWS::Lambda::Function"):
            return _function_arn(name)
        if attribute == "Arn" and kind == "AWS::Cognito::UserPool":
            return f"arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{name}"
        if attribute == "Stage" and kind.startswith("AWS::Serverless::"):
            default = "$default" if kind.endswith("HttpApi") else "Prod"
            return str(self._resolver.resolve(properties.get("StageName", default), ("Resources", name, "Properties")))
        if attribute in ("ApiKey", "UsagePlan") and kind == "AWS::Serverless::Api":
            return f"{name}{attribute}"
        if attribute == "FunctionArn" or (kind.startswith("AWS::Lambda::") and attribute.endswith("Arn")):
            return str(self._value(name, kind, properties))
        if attribute == "Arn":
            return f"arn:aws:{kind.split('::')[-2].lower() if '::' in kind else 'x'}:{REGION}:{ACCOUNT}:{name}"
        return Unknown(f"{name}.{attribute}")

    def _check_cycles(self) -> None:
        """Resources that refer to each other. SAM separates what its own resources refer to."""
        done: set[str] = set()
        for start in self._edges:
            trail = [(start, iter(sorted(self._edges[start])))]
            active = [start]
            while trail and start not in done:
                for other in trail[-1][1]:
                    if other in active:
                        cycle = [*active[active.index(other) :], other]
                        if not any(self._type(one).startswith("AWS::Serverless::") for one in cycle):
                            self._problems.add(("Resources", other), f"circular reference: {' -> '.join(cycle)}")
                    elif other not in done and other in self._edges:
                        trail.append((other, iter(sorted(self._edges[other]))))
                        active.append(other)
                        break
                else:
                    done.add(active.pop())
                    trail.pop()
