"""Types in the reference: the signatures of compiled classes and functions, from their stubs.

An alias such as `_Key` is replaced by its value if that is short, and by its name without the underscore otherwise.
"""

import ast
import sys
from functools import cache
from pathlib import Path

import ratelimit

ROOT = Path(__file__).parents[1]
LONGEST = 60  # of an alias that is written out


@cache
def stub(module):
    """Return the syntax tree of a module's stub; None if it has no stub."""
    path = ROOT / f"{module.replace('.', '/')}.pyi"
    return ast.parse(path.read_text(encoding="utf-8")) if path.exists() else None


def found(nodes, name, kinds):
    return next((node for node in nodes if isinstance(node, kinds) and node.name == name), None)


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def alias_value(module, name):
    """Return what a private alias stands for, also one that the stub imports from another one."""
    for node in stub(module).body:
        if isinstance(node, ast.AnnAssign) and node.value is not None and ast.unparse(node.target) == name:
            return ast.unparse(node.value)
        if isinstance(node, ast.ImportFrom) and any(one.name == name for one in node.names):
            parts = module.split(".")[: -node.level] if node.level else []
            other = ".".join([*parts, *([node.module] if node.module else [])])
            return alias_value(other, name) if stub(other) else None
    return None


class Written(ast.NodeTransformer):
    """Write private names as a reader knows them."""

    def __init__(self, module):
        self.module = module

    def visit_Name(self, node):
        if not node.id.startswith("_"):
            public = node.id in ratelimit.__all__  # shown by its last name, and found by its whole one
            return ast.Name(f"~ratelimit.{node.id}", node.ctx) if public else node
        value = alias_value(self.module, node.id)
        return ast.Name(value if value and len(value) <= LONGEST else node.id.lstrip("_"), node.ctx)


def signature(module, function, *, bound):
    """Return the arguments and the type of the result, as text."""
    function = Written(module).visit(ast.parse(ast.unparse(function)).body[0])
    arguments = function.args
    if bound:
        (arguments.posonlyargs or arguments.args).pop(0)
    result = ast.unparse(function.returns) if function.returns is not None else None
    if isinstance(function, ast.AsyncFunctionDef):
        result = f"Coroutine[{result}]"
    return f"({ast.unparse(arguments)})", result


def of_class(cls):
    """Return the signature of the constructor."""
    for base in cls.__mro__:
        tree = stub(base.__module__)
        node = tree and found(tree.body, base.__name__, ast.ClassDef)
        for name in ("__init__", "__new__"):
            function = node and found(node.body, name, FUNCTIONS)
            if function:
                return signature(base.__module__, function, bound=True)
    return None


def of_method(cls, name):
    for base in cls.__mro__:
        tree = stub(base.__module__)
        node = tree and found(tree.body, base.__name__, ast.ClassDef)
        function = node and found(node.body, name, FUNCTIONS)
        if function:
            static = any(ast.unparse(one) == "staticmethod" for one in function.decorator_list)
            return signature(base.__module__, function, bound=not static)
    return None


def of_function(module, name):
    tree = stub(module)
    function = tree and found(tree.body, name, FUNCTIONS)
    return signature(module, function, bound=False) if function else None


def add_types(app, what, name, obj, options, arguments, result):
    """Replace the signature of a compiled object; one that the page gives as empty, `Class()`, stays.

    Sphinx fails if it has found no signature and is given one, so such a page has to give the arguments.
    """
    if arguments is None or (what == "class" and arguments == "()"):
        return None
    if what == "class":
        constructor = of_class(obj)
        return constructor and (constructor[0], None)
    owner, _, last = name.rpartition(".")
    if what == "method":
        module, _, cls = owner.rpartition(".")
        return of_method(getattr(sys.modules[module], cls), last)
    return of_function(obj.__module__, last) if what == "function" else None
