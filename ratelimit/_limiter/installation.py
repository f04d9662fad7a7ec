"""Finds another distribution that has overwritten files of this package.

The abandoned distribution `ratelimit` and django-ratelimit before version 4 install into the same folder, `ratelimit/`.
pip does not object. The one that is installed last overwrites `__init__.py`, and the one that is removed deletes it.
"""

import warnings
from pathlib import Path

FOREIGN_FILES = "decorators.py", "exception.py", "exceptions.py", "utils.py"
FOREIGN = {"ratelimit": "ratelimit-*.dist-info", "django-ratelimit": "django_ratelimit-[123].*.dist-info"}
DISTRIBUTION = "ratelimit-core"


def find_conflict(package: Path = Path(__file__).parents[1]) -> str | None:
    """Return what is wrong, and the two commands that mend it; None if the folder is this package's own."""
    if not any((package / name).exists() for name in FOREIGN_FILES):
        return None
    found = [name for name, pattern in FOREIGN.items() if any(package.parent.glob(pattern))]
    if not found:
        return None
    names = " ".join(found)
    return (
        f"the distribution {names} has put its files into {DISTRIBUTION}'s folder {package}; run "
        f"'pip uninstall -y {names}' and then 'pip install --force-reinstall --no-deps {DISTRIBUTION}'"
    )


def warn_of_conflict() -> None:
    """Issue a RuntimeWarning if another distribution shares the folder."""
    conflict = find_conflict()
    if conflict is not None:
        warnings.warn(conflict, RuntimeWarning, stacklevel=2)
