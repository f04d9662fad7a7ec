"""The Sphinx extension of this site: the page of the playground, and dark pictures.

A picture `NAME.svg` may have a dark twin, `NAME-dark.svg`. The page then has both, and the theme shows one of them.
"""

import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "playground"))
import bundle  # noqa: E402


class DarkPictures(SphinxTransform):
    """Add the dark twin of each picture that has one."""

    default_priority = 100  # before Sphinx collects the pictures

    def apply(self):
        folder = Path(self.document["source"]).parent
        for picture in list(self.document.findall(nodes.image)):
            path = Path(picture["uri"])
            dark = path.with_stem(f"{path.stem}-dark")
            if (folder / dark).exists():
                twin = picture.deepcopy()
                twin["uri"] = str(dark)
                twin["classes"] = [*picture["classes"], "only-dark"]
                picture["classes"] = [*picture["classes"], "only-light"]
                picture.parent.insert(picture.parent.index(picture) + 1, twin)


class LazyPictures(SphinxTransform):
    """Let a browser load a picture when it comes into view; of two twins it then loads one."""

    default_priority = 110

    def apply(self):
        for picture in self.document.findall(nodes.image):
            picture["loading"] = "lazy"


def name_levels(app, pagename, templatename, context, doctree):
    """Give the captions of the navigation, which Sphinx marks as headings, the level that readers of screens need."""
    if tree := context.get("furo_navigation_tree"):
        context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def choose_template(app, pagename, templatename, context, doctree):
    """Put the text of the page of the playground below the playground, which has no other template."""
    if pagename == "playground":
        context["playground"] = bundle.page(context["body"])
        return "playground.html"
    return None


def setup(app: Sphinx):
    app.add_transform(DarkPictures)
    app.add_transform(LazyPictures)
    app.connect("html-page-context", choose_template)
    app.connect("html-page-context", name_levels, priority=900)  # after the theme has made it
    app.connect("env-get-outdated", lambda *_: ["playground"])  # its modules may have changed
    return {"parallel_read_safe": True, "parallel_write_safe": True}
