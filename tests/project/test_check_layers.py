"""The layer check: import-linter sees the imports of Cython modules."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/check_layers.py"
spec = importlib.util.spec_from_file_location("check_layers", SCRIPT)
check = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check)


def test_imports_of_cython_become_python_on_the_same_lines():
    source = "cimport cython\nx = 1\nfrom .a cimport (\n    b,  # why\n    c,\n)\ncdef extern from 'h.h': pass\n  from . import d\n"
    assert check.imports_of(source) == "import cython\n\nfrom .a import ( b, c, )\n\n\n\n\nfrom . import d\n"


CONTRACT = """
[tool.importlinter]
root_package = "ratelimit"
[[tool.importlinter.contracts]]
name = "Layers"
type = "layers"
layers = ["ratelimit.upper", "ratelimit.lower"]
"""


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ({"upper.py": "from . import lower\n", "lower.py": ""}, 0),
        ({"upper.pyx": "from .lower cimport x\n", "lower.pxd": "cdef int x\n"}, 0),
        ({"upper.pyx": "", "lower.pyx": "from ratelimit.upper cimport x\n"}, 1),
        ({"upper.py": "", "lower.pyx": "x = 1\n", "lower.pxd": "from .upper cimport x\n"}, 1),
        ({"upper.pxd": "", "lower.py": "if TYPE_CHECKING:\n    from .upper import x\n"}, 1),
    ],
    ids=["python", "cimport", "upward cimport", "upward cimport of a pxd", "upward import for type checking"],
)
def test_finds_imports_against_the_layers(tmp_path, files, status):
    (tmp_path / "scripts").mkdir()
    (tmp_path / "ratelimit").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text(CONTRACT)
    for name, text in {"__init__.py": "", **files}.items():
        (tmp_path / "ratelimit" / name).write_text(text)
    result = subprocess.run([sys.executable, tmp_path / "scripts/check_layers.py"], capture_output=True, text=True)
    assert result.returncode == status, result.stdout + result.stderr
    assert ("1 kept, 0 broken" if status == 0 else "0 kept, 1 broken") in result.stdout
