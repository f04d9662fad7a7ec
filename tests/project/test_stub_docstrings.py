"""The stubs of compiled modules have docstrings, as editors show them, and they are those of `help()`."""

import ast
import importlib
import inspect
import shutil
from pathlib import Path

import jedi
import pytest

import ratelimit

PACKAGE = Path(ratelimit.__file__).parent
STUBS = sorted(path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.pyi"))


def public(nodes, prefix=""):
    """Yield the dotted name and the node of each public class, function, method and property."""
    for node in nodes:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{prefix}{node.name}.")


STUBBED = [
    (".".join(stub.with_suffix("").parts), name, node)
    for stub in STUBS
    for name, node in public(ast.parse((PACKAGE.parent / stub).read_text()).body)
]


@pytest.mark.parametrize(("module", "name", "node"), [pytest.param(*case, id=".".join(case[:2])) for case in STUBBED])
def test_stub_has_the_docstring_of_the_compiled_object(module, name, node):
    compiled = importlib.import_module(module)
    for part in name.split("."):
        compiled = getattr(compiled, part)
    shown = ast.get_docstring(node)
    assert shown
    own = vars(compiled).get("__doc__") if isinstance(compiled, type) else compiled.__doc__
    if own:  # a plain attribute of a compiled class does not have a docstring
        assert shown == inspect.cleandoc(own).strip()


@pytest.fixture(scope="module")
def editor(tmp_path_factory):
    """Return a jedi project that sees the sources of the package only: Python files and stubs, nothing compiled."""
    folder = tmp_path_factory.mktemp("project")
    for source in PACKAGE.rglob("*.py*"):
        if source.suffix in (".py", ".pyi"):
            copy = folder / source.relative_to(PACKAGE.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
    return jedi.Project(folder, sys_path=[str(folder)])


def hover(editor, code):
    """Return what an editor shows for the name at the end of the last line."""
    (name,) = jedi.Script(code, project=editor).help()
    return name.docstring()


@pytest.mark.parametrize("name", [name for name in ratelimit.__all__ if callable(getattr(ratelimit, name))])
def test_editor_shows_the_docstring_of_each_public_name(editor, name):
    expected = inspect.getdoc(getattr(ratelimit, name))
    assert expected in hover(editor, f"import ratelimit\nratelimit.{name}")


@pytest.mark.parametrize(
    ("code", "stub"),
    [
        ('from ratelimit import TokenBucket\nTokenBucket("1/second").', "ratelimit._core.Limiter"),
        (
            'from ratelimit import FixedWindow\nFixedWindow("1/second").hit("key").',
            "ratelimit._limiter.decision.Decision",
        ),
        (
            'from ratelimit import SlidingLog\nSlidingLog("1/second").reserve("key").',
            "ratelimit._limiter.reservation.Reservation",
        ),
        ("from ratelimit import All\nAll().", "ratelimit.limiters.composite.All"),
    ],
)
def test_editor_shows_the_docstring_of_each_member(editor, code, stub):
    members = {name: node for path, name, node in STUBBED if f"{path}.{name}".startswith(stub + ".")}
    assert members
    for name, node in members.items():
        assert ast.get_docstring(node) in hover(editor, code + name.split(".")[-1])
