"""scripts/check_links.py finds dead links within a site."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/check_links.py"
spec = importlib.util.spec_from_file_location("check_links", SCRIPT)
check_links = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_links)

PAGE = '<a id="here" href="{}">a link</a>'


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("other.html", False),
        ("folder/inner.html#here", False),
        ("#here", False),
        ("", False),
        ("https://example.com/x", False),
        ("mailto:ann@example.com", False),
        ("data:,", False),
        ("a%20picture.png", False),
        ("missing.html", True),
        ("other.html#nowhere", True),
        ("#nowhere", True),
        ("folder", True),
    ],
)
def test_dead_links_are_found(tmp_path, link, dead):
    (tmp_path / "folder").mkdir()
    (tmp_path / "a picture.png").touch()
    for name in ("other.html", "folder/inner.html"):
        (tmp_path / name).write_text(PAGE.format("#here"))
    (tmp_path / "page.html").write_text(PAGE.format(link))
    lines = []
    assert check_links.main([str(tmp_path)], lines.append) == dead
    assert lines == ([f"page.html: dead link {link}"] if dead else [])


def test_folder_without_pages_is_an_error(tmp_path):
    lines = []
    assert check_links.main([str(tmp_path)], lines.append) == 1
    assert "expected a folder with pages" in lines[0]
