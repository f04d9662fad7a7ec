"""Request validators and models of REST APIs: the `validate` of routes and the `models` of an API."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from ..._configuration.problems import Path
from ..backends.validated import CONTENT_TYPE, PARAMETER
from ..schemas import Models, check_schema
from .draft import ApiDraft, Draft
from .tree import from_json
from .values import as_list, as_mapping, is_true, referred

BUILT_IN = {"Empty": {"type": "object"}, "Error": {"type": "object", "properties": {"message": {"type": "string"}}}}
_MODEL = re.compile(r"(?:#/components/schemas/|#/definitions/|https?://[^#]*/models/)([^/#]+)(/[^#]*|#.*)?")


def add_model(api: ApiDraft, name: str, schema: Any, is_document: bool) -> None:
    """Add a model to an API, as a schema or its JSON text.

    Args:
        api: to which it belongs.
        name: in references of routes and other models.
        schema: see above.
        is_document: whether it is part of an OpenAPI document: a reference is one to another model.
    """
    if isinstance(schema, str):
        try:
            schema = from_json(schema)
        except ValueError:
            schema = {"$ref": "a model that is not JSON"}
    api.models[_safe(name)] = _imported(schema, is_document)


def validate(
    draft: Draft, api: ApiDraft, route: dict[str, Any], required: list[str], bodies: Mapping[str, Any], path: Path
) -> None:
    """Set what the requests of a route must have.

    Args:
        draft: the configuration.
        api: to which the route belongs.
        route: see above.
        required: parameters such as `header.x-tenant`; those of the path are always there.
        bodies: schemas by content type.
        path: in the template, for notes.
    """
    if api.kind != "rest":
        draft.template.note(path, "requests are not validated: only a REST API does that")
        return
    found: dict[str, Any] = {}
    for name in required:
        if re.fullmatch(PARAMETER, name):
            found.setdefault("parameters", []).append(name)
        elif not name.startswith("path."):
            draft.template.note(path, f"the required parameter {name!r} is not checked")
    for given, schema in bodies.items():
        kind = given.partition(";")[0].strip().lower()
        if re.fullmatch(CONTENT_TYPE, kind):
            found.setdefault("body", {})[kind] = _imported(schema, True)
        else:
            draft.template.note(path, f"bodies of type {given!r} are not validated: that is not a content type")
    if found:
        route["validate"] = found


def finish_validation(draft: Draft, api: ApiDraft) -> None:
    """Keep the models that are used. Note schemas that cannot be, and do not check bodies by them."""
    checks = {key: route["validate"] for key, route in api.routes.items() if "validate" in route}
    models = _UsedModels({**BUILT_IN, **api.models})
    for key, check in checks.items():
        bodies = check.get("body", {})
        for kind in list(bodies):
            reason = models.use(bodies[kind])
            if reason:
                del bodies[kind]
                draft.template.note(api.sources["routes", key], f"bodies of type {kind} are not validated: {reason}")
        if "body" in check and not bodies:
            del check["body"]
        if not check:
            del api.routes[key]["validate"]
    if models.used:
        api.settings["models"] = models.used


class _UsedModels:
    """The models of an API, each of which is checked once, when a body needs it.

    Attributes:
        used: by name, those of bodies that can be validated.
    """

    def __init__(self, known: Mapping[str, Any]) -> None:
        self.used: dict[str, Any] = {}
        self._known = known
        self._lower = {name.lower(): name for name in known}
        self._seen: dict[str, tuple[str, set[str]]] = {}  # by name: what is wrong with a model, and those it refers to

    def use(self, schema: Any) -> str:
        """Add the models that a schema needs; return why bodies cannot be validated by it, or nothing."""
        reason, waiting = self._checked(schema)
        needed: set[str] = set()
        while waiting and not reason:
            name = waiting.pop()
            needed.add(name)
            if name not in self._seen:
                self._seen[name] = self._checked(self._known[name])
            reason, further = self._seen[name]
            waiting |= further - needed
        if not reason:
            self.used.update((name, self._known[name]) for name in sorted(needed))
        return reason

    def _checked(self, schema: Any) -> tuple[str, set[str]]:
        """Return what is wrong with a schema, and the models to which it refers; correct the case of their names."""
        names = set()
        try:
            check_schema(schema)
            for node in _references(schema):
                name, hash_, rest = node["$ref"].partition("#")
                found = name if name in self._known else self._lower.get(name.lower(), "")
                if found:
                    node["$ref"] = found + hash_ + rest
                    names.add(found)
            Models({name: self._known[name] for name in names}, checked=False).body(schema)
        except ValueError as error:
            return str(error), set()
        return "", names


def _references(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value
        for one in value.values():
            yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-")[:128] or "model"


def _imported(value: Any, is_document: bool) -> Any:
    """Return a copy of a schema that refers to models by their names.

    Without minItems and maxItems of a document, by which Amazon API Gateway does not validate either.
    """
    if isinstance(value, list):
        return [_imported(one, is_document) for one in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for name, one in value.items():
        if is_document and name in ("minItems", "maxItems") and isinstance(one, int):
            continue
        found = _MODEL.fullmatch(one) if name == "$ref" and isinstance(one, str) else None
        if found and (is_document or not one.startswith("#")):
            rest = (found[2] or "").removeprefix("#")
            made[name] = _safe(unquote(found[1].replace("~1", "/").replace("~0", "~"))) + (f"#{rest}" if rest else "")
        else:
            made[name] = _imported(one, is_document)
    return made


# --- CloudFormation


def add_models(draft: Draft) -> None:
    """Add the models of CloudFormation resources, by their names or logical ids."""
    for one in draft.template.of_type("AWS::ApiGateway::Model"):
        api = draft.apis.get(str(one.get("RestApiId")))
        if api is not None:
            for name in {one.name, str(one.get("Name", one.name))}:
                add_model(api, name, one.get("Schema", {}), False)


def validate_method(
    draft: Draft, api: ApiDraft, route: dict[str, Any], properties: Mapping[str, Any], path: Path
) -> None:
    """Set what the requests of a method must have, by its RequestValidatorId."""
    given = properties.get("RequestValidatorId")
    if given is None:
        return
    validator = draft.template.resources.get(str(given))
    if validator is None or validator.type != "AWS::ApiGateway::RequestValidator":
        draft.template.note((*path, "RequestValidatorId"), f"the request validator {str(given)!r} is not here")
        return
    required, bodies = [], {}
    if is_true(validator.get("ValidateRequestParameters")):
        parameters = as_mapping(properties.get("RequestParameters"))
        required = [name.removeprefix("method.request.") for name, one in parameters.items() if is_true(one)]
    if is_true(validator.get("ValidateRequestBody")):
        models = as_mapping(properties.get("RequestModels"))
        bodies = {kind: {"$ref": _safe(str(name))} for kind, name in models.items()}
    validate(draft, api, route, required, bodies, path)


# --- SAM


def validate_event(draft: Draft, api: ApiDraft, route: dict[str, Any], event: Mapping[str, Any], path: Path) -> None:
    """Set what the requests of an event must have, by its RequestModel and RequestParameters."""
    model = as_mapping(event.get("RequestModel"))
    required = []
    for one in as_list(event.get("RequestParameters")):
        for name, settings in one.items() if isinstance(one, dict) else ((one, None),):
            if is_true(as_mapping(settings).get("Required")):
                required.append(str(name).removeprefix("method.request."))
    bodies = {"application/json": {"$ref": _safe(str(model["Model"]))}} if "Model" in model else {}
    checks_body, checks_parameters = is_true(model.get("ValidateBody")), is_true(model.get("ValidateParameters"))
    if checks_body or checks_parameters:
        validate(draft, api, route, required if checks_parameters else [], bodies if checks_body else {}, path)


# --- OpenAPI


class DocumentValidators:
    """The request validators of an OpenAPI document.

    Args:
        draft, api: to which the routes of the document belong.
        document: see above.
    """

    def __init__(self, draft: Draft, api: ApiDraft, document: Mapping[str, Any]) -> None:
        self._draft = draft
        self._api = api
        self._document = document
        self._validators = as_mapping(document.get("x-amazon-apigateway-request-validators"))
        schemas = document.get("definitions") or as_mapping(document.get("components")).get("schemas")
        if api.kind == "rest":
            for name, schema in as_mapping(schemas).items():
                add_model(api, str(name), schema, True)

    def apply(self, route: dict[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any], path: Path) -> None:
        """Set what the requests of an operation must have; `item` has what all of its path have in common."""
        extension = "x-amazon-apigateway-request-validator"
        name = operation.get(extension, self._document.get(extension))
        if name is None:
            return
        if str(name) not in self._validators:
            self._draft.template.note(path, f"the request validator {name!r} is not here")
            return
        validator = as_mapping(self._validators[str(name)])
        parameters = {
            (str(one.get("in")), str(one.get("name"))): one
            for given in (item, operation)
            for one in map(self._found, as_list(given.get("parameters")))
        }
        required, bodies = [], {}
        if is_true(validator.get("validateRequestParameters")):
            for one in parameters.values():
                place = {"query": "querystring", "header": "header"}.get(str(one.get("in")))
                if place and is_true(one.get("required")):
                    required.append(f"{place}.{one.get('name')}")
        if is_true(validator.get("validateRequestBody")):
            bodies = self._bodies(operation, list(parameters.values()))
        validate(self._draft, self._api, route, required, bodies, path)

    def _bodies(self, operation: Mapping[str, Any], parameters: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the schemas of the body by content type."""
        content = as_mapping(self._found(operation.get("requestBody")).get("content"))
        found = {str(kind): one["schema"] for kind, one in content.items() if "schema" in as_mapping(one)}
        body = next((one["schema"] for one in parameters if one.get("in") == "body" and "schema" in one), None)
        if body is not None:
            kinds = as_list(operation.get("consumes", self._document.get("consumes"))) or ["application/json"]
            found.update((str(kind), body) for kind in kinds)
        return found

    def _found(self, value: Any) -> dict[str, Any]:
        """Return an object, or the one to which it refers in the document."""
        given = as_mapping(value)
        if "$ref" not in given:
            return given
        return referred(self._document, str(given["$ref"]))
