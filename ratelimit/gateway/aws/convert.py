"""From a template to the configuration of a gateway."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from ..._configuration.problems import ConfigurationError, Problem, dotted
from ..._configuration.tree import plain
from .defaults import default_numbers
from .draft import ApiDraft, Draft
from .http import add_http_apis, add_http_parts
from .openapi import add_document, base_path, kind_of
from .properties import note_document, note_unused
from .rest import add_rest_apis, add_rest_parts
from .serverless import add_serverless
from .stages import BURST, RATE, add_domains, add_plans, add_stage
from .template import Template
from .tree import TemplateTree
from .validation import finish_validation
from .values import as_mapping


@dataclass(frozen=True, slots=True)
class Conversion:
    """The result.

    Args:
        value: the configuration, as plain values.
        draft: gives the path in the template for a path of the configuration.
        notes: about what differs from what an account would do.
    """

    value: dict[str, Any]
    draft: Draft
    notes: list[Problem]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line for a template.

    Args:
        parameters: values of its parameters.
        functions: addresses of functions, by name.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)


def is_template(names: list[str]) -> bool:
    """Whether a file with these names at its top is a template or an OpenAPI document."""
    return bool({"Resources", "openapi", "swagger"} & set(names))


def convert(tree: TemplateTree, folder: FilePath, options: Options) -> Conversion:
    """Return the configuration of a template.

    Raises: ConfigurationError with all that is wrong.
    """
    template = Template(tree, folder, options.parameters)
    draft = Draft(template, options.functions)
    names = tree.names()
    if "Resources" in names:
        add_rest_apis(draft)
        add_http_apis(draft)
        add_serverless(draft)
        add_rest_parts(draft)
        add_http_parts(draft)
        add_plans(draft)
        note_unused(template)
    else:
        _add_file(draft, template.document())
    for api in draft.apis.values():
        _finish(draft, api)
    for name in [one for one, api in draft.apis.items() if not api.routes]:
        template.note(draft.apis[name].path, "this API has no routes")
        del draft.apis[name]
    _drop_stages(draft)
    if not draft.apis:
        notes = [Problem((), f"warning: {one}", line=one.line) for one in template.notes]
        raise ConfigurationError([*notes, Problem(("Resources",), "expected an API with routes", line=1)])
    add_domains(draft)
    value = draft.value()
    default_numbers(draft, value)
    return Conversion(plain(value), draft, template.notes)


def _add_file(draft: Draft, document: dict[str, Any]) -> None:
    """Add the API of an OpenAPI document that no template includes."""
    title = str(as_mapping(document.get("info")).get("title", "api"))
    name = "".join(char for char in title if char.isascii() and char.isalnum())[:64] or "api"
    api = draft.apis[name] = ApiDraft(name, kind_of(document), ())
    add_document(draft, api, document, ())
    note_document(draft.template, document, ())
    stage = base_path(document).partition("/")[0]
    add_stage(draft, api, stage or ("$default" if api.kind == "http" else "prod"), {}, ())


def _finish(draft: Draft, api: ApiDraft) -> None:
    """Apply what depends on all routes and stages."""
    for key, route in api.routes.items():
        for name in [one for one in ("authorizer", "api_key_required") if not route.get(one, True)]:
            del route[name]
        names = re.findall(r"\$\{stageVariables\.(\w+)\}", str(route.get("proxy", {}).get("to", "")))
        if any(name not in stage.get("variables", {}) for name in names for stage in api.stages.values()):
            path = api.sources["routes", key]
            del route["proxy"]
            route.pop("request", None)
            route.update(draft.not_implemented(path, "a stage lacks a variable of the address"))
    throttles = api.settings.pop("_throttles", {})
    for stage in api.stages.values():
        for key, limit in throttles.items():  # what the settings of the API have in addition holds, too
            known = stage.setdefault("route_throttles", {})
            known[key] = {"rate": RATE, "burst": BURST, **known.get(key, {}), **limit}
    finish_validation(draft, api)
    if not api.settings.get("responses", True):
        del api.settings["responses"]
    used = {route.get("authorizer") for route in api.routes.values()}
    for name in [one for one in api.authorizers if one not in used]:
        del api.authorizers[name]


def _drop_stages(draft: Draft) -> None:
    """Leave the stages of APIs that are gone out of the plans."""
    for name, plan in list(draft.plans.items()):
        plan["stages"] = [stage for stage in plan["stages"] if stage.partition("/")[0] in draft.apis]
        if not plan["stages"]:
            del draft.plans[name]


def in_template(draft: Draft, problem: Problem) -> Problem:
    """Return a problem of the configuration with its line and its path in the template."""
    path, rest = draft.traced(problem.path)
    message = f"{dotted(rest)}: {problem.message}" if rest else problem.message
    return Problem(path, message, line=problem.line or draft.template.tree.line_of(path))
