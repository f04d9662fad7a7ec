"""The configuration that a template becomes, and where in the template each part of it comes from."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..._configuration.problems import Path
from ..routing.table import RouteKey
from .template import Template
from .values import as_list, as_mapping, as_number, as_text

NOT_IMPLEMENTED: dict[str, dict[str, Any]] = {"mock": {"status": 501, "body": '{"message":"Not Implemented"}'}}
METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "any", "x-amazon-apigateway-any-method")
_FUNCTION = re.compile(r"function:([^:/]+)")
_INVOKED = re.compile(r"functions/([^/]+)/invocations")


@dataclass
class ApiDraft:
    """One API.

    Args:
        name: the logical id.
        kind: http, rest or websocket.
        path: in the template.
        routes, stages, authorizers, settings: as in a configuration.
        models: schemas by name, of which those that a route needs become a setting.
        conditions: of use, by route key, of the operations of a document, whose integration an event of SAM may be;
            those of one that is closed have its answer.
        sources: the paths in the template of routes, stages and authorizers, by (section, name).
    """

    name: str
    kind: str
    path: Path
    routes: dict[str, dict[str, Any]] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    authorizers: dict[str, dict[str, Any]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: dict[Path, Path] = field(default_factory=dict)

    def add(self, section: str, name: str, value: dict[str, Any], path: Path) -> None:
        """Add a route, a stage or an authorizer."""
        getattr(self, section)[name] = value
        self.sources[section, name] = path

    def with_conditions(self, key: str, route: dict[str, Any]) -> dict[str, Any]:
        """Return a route with the conditions of its operation. One that is closed has no other integration."""
        conditions = self.conditions.get(key, {})
        return {**({} if "mock" in conditions else route), **conditions}

    def require(self, route: dict[str, Any], name: str, scopes: Iterable[Any] | None) -> None:
        """Require one of its authorizers of a route, and scopes if it checks tokens that have some."""
        route["authorizer"] = name
        if scopes and "jwt" in self.authorizers[name]:
            route["scopes"] = [str(one) for one in scopes]

    def value(self) -> dict[str, Any]:
        """Return the API as in a configuration."""
        sections = {"authorizers": self.authorizers, "routes": self.routes, "stages": self.stages}
        return {"type": self.kind, **self.settings, **{name: one for name, one in sections.items() if one}}


class Draft:
    """A configuration in the making.

    Args:
        template: see there.
        urls: addresses of functions that run elsewhere, by name.
    """

    def __init__(self, template: Template, urls: Mapping[str, str]) -> None:
        self.template = template
        self.apis: dict[str, ApiDraft] = {}
        self.functions: dict[str, dict[str, Any]] = {}
        self.api_keys: dict[str, str] = {}
        self.plans: dict[str, dict[str, Any]] = {}
        self.domains: dict[str, dict[str, str]] = {}
        self.sources: dict[Path, Path] = {}  # of keys, plans, domains and functions
        self._urls = urls
        self._known = {}
        for one in template.of_type("AWS::Serverless::Function", "AWS::Lambda::Function"):
            self._known[one.name] = self._known[str(one.get("FunctionName", one.name))] = one

    def api_of(self, given: Any, kind: str, path: Path) -> ApiDraft | None:
        """Return the API of a part. One that another stack has is served with the parts of this one."""
        name = re.sub(r"[^A-Za-z0-9_-]", "-", str(given))[:64]
        if name not in self.apis and isinstance(given, str) and name and given not in self.template.resources:
            self.template.note(path, f"the API {given!r} is of another stack: it is served with the parts of this one")
            self.apis[name] = ApiDraft(name, kind, path)
        if name not in self.apis:
            self.template.note(path, f"the API {given!r} is not here")
        return self.apis.get(name)

    def route(self, api: ApiDraft, key: str, route: dict[str, Any], path: Path) -> None:
        """Add a route to an API; note one that no request can have."""
        if api.kind != "websocket":
            try:
                RouteKey.parse(key)
            except ValueError as error:
                self.template.note(path, f"this route cannot be served: {error}")
                return
        elif route.get("mock", {}).get("status") == 501 and route.get("authorizer", True):  # not one that is closed
            route = self._without_integration(key, route, path)
        if key not in api.routes:
            api.add("routes", key, route, path)

    def select(self, api: ApiDraft, expression: Any) -> None:
        """Set where messages of a WebSocket API name their routes; note an expression that cannot be used."""
        text = str(expression)
        if re.search(r"\$\{?request\.(body|header|querystring)\.\w", text):
            api.settings["route_selection"] = text
        else:
            self.template.note(api.path, f"messages are not routed by {text!r}, but by $request.body.action")

    def _without_integration(self, key: str, route: dict[str, Any], path: Path) -> dict[str, Any]:
        """Return a route of a WebSocket API whose integration cannot run: clients are connected all the same."""
        if key not in ("$connect", "$disconnect"):
            return {**route, "mock": {"body": NOT_IMPLEMENTED["mock"]["body"]}, "route_response": True}
        self.template.note(path, f"clients are connected without the integration of {key}")
        return {**route, "mock": {}}

    def not_implemented(self, path: Path, reason: str) -> dict[str, Any]:
        """Return the route that answers 501, and note why."""
        self.template.note(path, f"{reason}; the route answers 501")
        return json.loads(json.dumps(NOT_IMPLEMENTED))  # type: ignore[no-any-return]

    def close(self, route: dict[str, Any], path: Path, name: str) -> None:
        """Let a route answer 501, as its authorizer is not known, and note it."""
        route.clear()
        route.update(self.not_implemented(path, f"the authorizer {name!r} is not here"), authorizer=None)

    # --- functions

    def function_route(self, uri: Any, path: Path) -> dict[str, Any]:
        """Return the route to the function that a URI or an ARN names."""
        name = self.function(uri, path)
        return {"function": name} if name else self.not_implemented(path, f"the function {_name(uri)} is not here")

    def function(self, uri: Any, path: Path) -> str | None:
        """Return the name of the function that an ARN, a URI or a name names; None where it cannot be run."""
        given = self._in_stages(_name(uri))
        resource = self._known.get(given)
        name = resource.name if resource else given
        url = self._urls.get(name) or self._urls.get(given)
        if url is not None:
            self.functions[name] = {"url": url}
            return name
        if resource is None:
            return None
        if name not in self.functions:
            made = self._made(name)
            if made is None:
                return None
            self.functions[name] = made
            self.sources["functions", name] = resource.path
        return name

    def _in_stages(self, name: str) -> str:
        """Return a name with the stage variables in it that have one value in all stages of the template."""

        def value(found: re.Match[str]) -> str:
            properties = (one.properties for one in self.template.resources.values())
            stages = map(as_mapping, (*properties, *self.template.globals.values()))
            variables = filter(None, map(_stage_variables, stages))
            values = {str(one.get(found[1], found[0])) for one in variables}
            return _name(values.pop()) if len(values) == 1 else found[0]

        return re.sub(r"\$\{stageVariables\.(\w+)\}", value, name)

    def declared(self, uri: Any, path: Path) -> str:
        """Return the name of a function. One that cannot be run is declared, so that its calls fail."""
        name = self.function(uri, path)
        if name is None:
            name = re.sub(r"[^A-Za-z0-9_-]", "-", _name(uri))[:128] or "missing"
            self.functions[name] = {}
            self.template.note(path, f"the function {name} is not here, so its calls fail: give --function {name}=URL")
        return name

    def _made(self, name: str) -> dict[str, Any] | None:
        """Return a Python function of the template; note any other."""
        resource = self._known[name]
        properties = resource.properties
        if resource.type.startswith("AWS::Serverless"):
            properties = resource.with_globals(self.template.globals.get("Function"))
        runtime, handler = str(properties.get("Runtime", "")), properties.get("Handler")
        code = properties.get("CodeUri", properties.get("Code", "."))
        inline = properties.get("InlineCode") or as_mapping(code).get("ZipFile")
        if not runtime.startswith("python") or not isinstance(handler, str):
            kind = properties.get("PackageType") or runtime or "unknown"
            self.template.note(resource.path, f"a function of kind {kind} is not run here: give --function {name}=URL")
            return None
        if not inline and (not isinstance(code, str) or code.startswith("s3:")):
            self.template.note(resource.path, f"the code of {name} is not here: give --function {name}=URL")
            return None
        if not inline and (self.template.folder / code).is_file():
            advice = "unpack it, and give its folder"
            self.template.note(resource.path, f"the code of {name} is in the archive {code}: {advice}")
            return None
        made: dict[str, Any] = {"handler": handler}
        if inline:
            made["code"] = str(inline)
        else:
            made["folder"] = str(code)
            if not (self.template.folder / code).is_dir():
                self.template.note((*resource.path, "CodeUri"), f"the folder {code} of function {name} is missing")
        environment = as_mapping(as_mapping(properties.get("Environment")).get("Variables"))
        if environment:
            made["environment"] = {str(one): as_text(value) for one, value in environment.items()}
        made["timeout"] = as_number(properties.get("Timeout", 3))
        made["memory"] = as_number(properties.get("MemorySize", 128))
        layers = [folder for one in as_list(properties.get("Layers")) if (folder := self._layer(one, resource.path))]
        if properties.get("FileSystemConfigs"):
            self.template.note(resource.path, f"the file system of {name} is not mounted")
        return {**made, "layers": layers} if layers else made

    def _layer(self, name: Any, path: Path) -> str | None:
        layer = self.template.resources.get(str(name))
        uri = layer.get("ContentUri", layer.get("Content")) if layer is not None else None
        if isinstance(uri, str) and not uri.startswith("s3:"):
            return uri
        self.template.note(path, f"the layer {str(name)!r} is not here: what it holds must be installed")
        return None

    # --- the result

    def value(self) -> dict[str, Any]:
        """Return the configuration."""
        sections: dict[str, Any] = {
            "apis": {name: api.value() for name, api in self.apis.items()},
            "functions": self.functions,
            "api_keys": self.api_keys,
            "plans": self.plans,
            "domains": self.domains,
        }
        return {name: value for name, value in sections.items() if value}

    def source(self, path: Path) -> Path:
        """Return the path in the template from which a path of the configuration comes."""
        return self.traced(path)[0]

    def traced(self, path: Path) -> tuple[Path, Path]:
        """Return the path in the template from which a path of the configuration comes, and what is below it."""
        if len(path) >= 2 and path[0] == "apis" and path[1] in self.apis:
            api = self.apis[str(path[1])]
            found = api.sources.get(path[2:4])
            return (api.path, path[2:]) if found is None else (found, path[4:])
        found = self.sources.get(path[:2])
        return ((), path) if found is None else (found, path[2:])


def _stage_variables(stage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables of a stage, of a deployment with one, or of an API of SAM; empty for anything else."""
    given = as_mapping(stage.get("StageDescription")) or stage
    return as_mapping(given.get("Variables")) or as_mapping(given.get("StageVariables"))


def _name(uri: Any) -> str:
    """Return the name of a function in an ARN or a URI; a name is one already."""
    invoked = _INVOKED.search(str(uri))
    text = invoked[1] if invoked else str(uri)
    found = _FUNCTION.search(text)
    return found[1] if found else text
