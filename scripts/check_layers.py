#!/usr/bin/env python3
"""Check the layers of the package, those of its Cython modules too: scripts/check_layers.py

The contracts are those of import-linter in pyproject.toml. import-linter reads Python only, so it is given a copy of
the package in which each Cython module is a Python file of its imports and cimports, on the same lines. The imports of
a `.pxd` file follow those of the `.pyx` file of the same name.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "ratelimit"
IMPORT = re.compile(r"^[ \t]*((?:from[ \t]+[\w.]+[ \t]+)?c?import[ \t]+(?:\([^)]*\)|[^\n(]+))", re.MULTILINE)


def imports_of(source: str) -> str:
    """Return the import statements of Cython code as Python code, each on its line."""
    lines = [""] * (source.count("\n") + 1)
    for match in IMPORT.finditer(source):
        statement = re.sub(r"\bcimport\b", "import", match[1], count=1)
        lines[source.count("\n", 0, match.start(1))] = " ".join(re.sub(r"#.*", "", statement).split())
    return "\n".join(lines)


def copy_package(package: Path, copy: Path) -> None:
    """Write the Python files of a package to `copy`, and for each Cython module a Python file of its imports."""
    for source in sorted(package.rglob("*")):
        target = copy / source.relative_to(package).with_suffix(".py")
        if source.suffix == ".py":
            text = source.read_text()
        elif source.suffix in (".pyx", ".pxd"):
            text = imports_of(source.read_text())
        else:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a") as file:
            file.write(text + "\n")


def main() -> int:
    """Run import-linter on the copy; return its exit status."""
    with tempfile.TemporaryDirectory() as directory:
        copy_package(ROOT / PACKAGE, Path(directory, PACKAGE))
        shutil.copy(ROOT / "pyproject.toml", directory)
        program = Path(sysconfig.get_path("scripts"), "lint-imports")
        return subprocess.run([program, "--no-cache", "--no-logo"], cwd=directory).returncode


if __name__ == "__main__":
    sys.exit(main())
