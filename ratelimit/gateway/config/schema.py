"""The JSON schema of a configuration file, for editors."""

from typing import Any

from pydantic import TypeAdapter

from .model import Configuration


def schema() -> dict[str, Any]:
    """Return a JSON schema (draft 2020-12) that accepts every valid configuration file and describes it."""
    found = TypeAdapter(Configuration).json_schema()
    _close(found)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": "Configuration of ratelimit gateway",
    }


def _close(node: Any) -> None:
    """Refuse, in objects whose names match a pattern, all other names; remove titles that repeat the names."""
    if isinstance(node, list):
        for one in node:
            _close(one)
    elif isinstance(node, dict):
        if "patternProperties" in node:
            node.setdefault("additionalProperties", False)
        if isinstance(node.get("title"), str):
            del node["title"]
        for one in node.values():
            _close(one)
