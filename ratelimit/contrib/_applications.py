"""A name for the shared tables of an application, so that two services of a host never meet in one table."""

import os
import re
import sys
from hashlib import blake2b


def application_name(module: str) -> str:
    """Return a name that only this application of this user has.

    Args:
        module: the name of the application's module.
    """
    path = os.path.realpath(getattr(sys.modules.get(module), "__file__", None) or os.getcwd())
    digest = blake2b(f"{os.getuid()}:{path}".encode(), digest_size=8).hexdigest()
    stem = re.sub(r"[^A-Za-z0-9_]+", "-", os.path.splitext(os.path.basename(path))[0]).strip("-")
    return f"{stem or 'app'}-{digest}"
