"""The JSON schema of a configuration file, for editors."""

import ast
from inspect import cleandoc, getsource
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter

from . import access, apis, backends, functions, model, routes, throttles, validation
from .secrets import REFERENCE

_MODULES = (model, apis, routes, throttles, backends, access, functions, validation)


def schema() -> dict[str, Any]:
    """Make a JSON schema (draft 2020-12) that accepts what a configuration file may have, and describes it."""
    found = TypeAdapter(model.Configuration).json_schema()
    _close(found)
    for name, fields in field_docs().items():
        properties = (found if name == "Configuration" else found["$defs"].get(name, {})).get("properties", {})
        for field, text in fields.items():
            properties[field]["description"] = text
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": "Configuration of ratelimit gateway",
    }


def field_docs() -> dict[str, dict[str, str]]:
    """Read the texts below the fields of each class. Pydantic can do so, too, but at each start of the gateway."""
    docs: dict[str, dict[str, str]] = {}
    for node in (node for module in _MODULES for node in ast.parse(getsource(module)).body):
        if isinstance(node, ast.ClassDef):
            inherited = [docs.get(base.id, {}) for base in node.bases if isinstance(base, ast.Name)]
            docs[node.name] = {name: text for one in inherited for name, text in one.items()} | {
                field.target.id: cleandoc(text.value.value)
                for field, text in pairwise(node.body)
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
                if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
                if isinstance(text.value.value, str)
            }
    return docs


def _close(node: Any) -> None:
    """Refuse, in objects whose names match a pattern, all other names; remove titles, which repeat the names."""
    if isinstance(node, list):
        for one in node:
            _close(one)
    elif isinstance(node, dict):
        if "patternProperties" in node:
            node.setdefault("additionalProperties", False)
        if isinstance(node.get("pattern"), str):
            node["pattern"] += f"|{REFERENCE}"
        if isinstance(node.get("title"), str):
            del node["title"]
        for name, one in node.items():
            if name != "propertyNames":  # a name has no reference to a secret
                _close(one)
