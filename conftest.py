"""Runs every Python block of the README and the documentation, beside the tests: `pytest`."""

from doctest import ELLIPSIS, NORMALIZE_WHITESPACE

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=ELLIPSIS | NORMALIZE_WHITESPACE), SkipParser()],
    patterns=["README.md", "docs/*.md", "docs/contrib/*.md"],
    # Functions of a page belong to a module, as Celery requires of tasks that all applications share.
    setup=lambda namespace: namespace.update(__name__="page"),
).pytest()
