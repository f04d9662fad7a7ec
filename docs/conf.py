"""Sphinx: `sphinx-build -W -b html docs docs/_build`, with the package built or installed."""

import json
import sys
from pathlib import Path

from django.conf import settings

import ratelimit
from ratelimit.gateway.config.schema import field_docs

sys.path.insert(0, str(Path(__file__).parent))
import stubs

settings.configure()  # of Django, for the modules that read it

project = "ratelimit"
version = release = ratelimit.__version__
copyright = "the ratelimit authors"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
    "extension",
]
exclude_patterns = ["_build"]
templates_path = ["templates"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
myst_heading_anchors = 3
myst_html_meta = {
    "description": "Exact rate limits for Python, decided in nanoseconds, for all workers without a server."
}


def measured(table, row, column=1):
    """Return a number of docs/benchmarks.json."""
    report = json.loads((Path(__file__).parent / "benchmarks.json").read_text(encoding="utf-8"))
    [rows] = [one["rows"] for section in report["sections"] for one in section["tables"] if one["title"] == table]
    [cells] = [cells for cells in rows if cells[0] == row]
    return f"{cells[column]:.0f}"


# Numbers of the landing page.
myst_substitutions = {
    "allow_ns": measured("`allow`, nanoseconds", "`TokenBucket.allow`"),
    "dict_ns": measured("`allow`, nanoseconds", "`dict.get`"),
    "key_bytes": measured("Bytes a key", "`TokenBucket`"),
}

default_role = "code"  # docstrings write code in single backticks
autodoc_default_options = {"member-order": "bysource"}
suppress_warnings = ["ref.python"]  # `Limiter` in a signature is also a class of three adapters
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
maximum_signature_line_length = 80
napoleon_use_ivar = True  # the attributes of a class in its own description, not once more as members
napoleon_use_rtype = False

html_theme = "furo"
html_static_path = ["static"]
html_favicon = "static/icon.svg"
html_css_files = ["style.css"]
html_title = f"ratelimit {version}"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5fad", "color-brand-content": "#0b5fad"},
    "dark_css_variables": {"color-brand-primary": "#79b8f3", "color-brand-content": "#79b8f3"},
}
pygments_dark_style = "github-dark"
html_copy_source = False


def describe_fields(app, what, name, obj, options, lines):
    """Append the texts of the fields of a configuration's class, which are below the fields in its source."""
    if what == "class" and obj.__module__.startswith("ratelimit.gateway.config."):
        fields = field_docs()[obj.__name__].items()
        lines += ["", "Args:", *(f"    {field}: {' '.join(text.split())}" for field, text in fields)]


def setup(app):
    app.connect("autodoc-process-signature", stubs.add_types)
    app.connect("autodoc-process-docstring", describe_fields, priority=100)  # before napoleon
