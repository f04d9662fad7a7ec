"""A template as plain values with lines: the short forms of intrinsic functions become their long forms."""

import json
from typing import Any

import yaml

from ..._configuration.problems import Path, Problem
from ..._configuration.tree import MAX_DEPTH, Tree

INTRINSICS = (
    "And", "Base64", "Cidr", "Condition", "Equals", "FindInMap", "GetAZs", "GetAtt", "If", "ImportValue", "Join",
    "Length", "Not", "Or", "Ref", "Select", "Split", "Sub", "ToJsonString", "Transform",
    "Contains", "EachMemberEquals", "EachMemberIn", "RefAll", "ValueOf", "ValueOfAll",  # of Rules, which are not read
)  # fmt: skip


class TemplateTree(Tree):
    """The values of a template. A tag that is not an intrinsic function is an error.

    Attributes:
        notes: about names that occur twice. CloudFormation uses the last value.
    """

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Problem] = []

    def _repeated(self, key: yaml.Node, path: Path, message: str) -> bool:
        note = Problem(path, f"{message}; the last one is used", line=key.start_mark.line + 1)
        if note not in self.notes:
            self.notes.append(note)
        return True

    def _tagged(self, node: yaml.Node, path: Path) -> Any:
        tag = node.tag.removeprefix("!")
        if tag not in INTRINSICS or not node.tag.startswith("!"):
            return super()._tagged(node, path)
        name = tag if tag in ("Ref", "Condition") else f"Fn::{tag}"
        below = (*path, name)
        if isinstance(node, yaml.ScalarNode):
            return {name: node.value.split(".", 1) if tag == "GetAtt" else node.value}
        if isinstance(node, yaml.SequenceNode):
            return {name: [self._value(one, (*below, i)) for i, one in enumerate(node.value)]}
        assert isinstance(node, yaml.MappingNode)
        entries = self._entries_of(node, below)
        return {name: {key: self._value(value, (*below, key)) for key, (_, value) in entries.items()}}


def from_json(text: str) -> Any:
    """Return the value of a JSON text; raise a ValueError for another text, or one with more levels than a file has."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"expected at most {MAX_DEPTH} levels") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        below = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [one for values in below for one in values]
    if level:
        raise ValueError(f"expected at most {MAX_DEPTH} levels")
    return value
