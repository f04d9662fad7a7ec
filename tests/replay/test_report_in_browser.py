"""The report opened in headless Chromium: the numbers on the page are the report's, and it can be read."""

import pytest
from browsing import contrast, errors, luminance, open_page
from selenium.webdriver.common.by import By

from ratelimit.replay import replay_log
from ratelimit.replay.cli.suggest import main as suggest
from ratelimit.replay.render.html import page

LIMITS = [
    "token-bucket 60/minute burst 40", "leaky-bucket 60/minute capacity 40", "fixed-window 60/minute",
    "sliding-window 10/second; sliding-window 1000/hour", "sliding-log 60/minute",
]  # fmt: skip


@pytest.fixture(scope="module")
def report(made_log):
    return replay_log(made_log, LIMITS, kinds=True)


@pytest.fixture(scope="module")
def files(report, made_log, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    (folder / "replay.html").write_text(page(report), encoding="utf-8")
    assert suggest([str(made_log), "--refuse-at-most", "2%", "--html", str(folder / "suggest.html")]) == 0
    return folder


@pytest.fixture
def opened(browser, files):
    """Return a function that opens a page in a window of a given width, in light or dark."""
    return lambda name, *window, **scheme: open_page(browser, (files / name).as_uri(), *window, **scheme)


def cells(browser, table):
    return [
        [cell.text for cell in row.find_elements(By.TAG_NAME, "td")]
        for row in browser.find_elements(By.CSS_SELECTOR, f"{table} tbody tr")
    ]


def test_overview_has_the_numbers_of_the_report(opened, report):
    browser = opened("replay.html")
    assert browser.find_element(By.ID, "requests").text == f"{report.requests:,}"
    rows = cells(browser, "#overview")
    assert [row[0] for row in rows] == [outcome.limit for outcome in report.outcomes]
    for row, outcome in zip(rows, report.outcomes, strict=True):
        assert [int(row[column].replace(",", "")) for column in (1, 2, 4)] == [
            outcome.keys_refused, outcome.refused, outcome.admitted,
        ]  # fmt: skip
        assert float(row[3].removesuffix(" %")) == pytest.approx(100 * outcome.refused_share, abs=0.06)
        assert float(row[5]) == pytest.approx(outcome.fairness, abs=1e-4)
        assert outcome.admitted + outcome.refused == report.requests


def test_each_limit_has_the_numbers_of_the_report(opened, report):
    browser = opened("replay.html")
    largest = [one for outcome in report.outcomes for one in outcome.largest]
    assert [(int(row[2].replace(",", "")), row[4]) for row in cells(browser, "#largest")] == [
        (one.admitted, one.key) for one in largest
    ]
    for number, outcome in enumerate(report.outcomes, 1):
        rows = cells(browser, f"#limit-{number} .top")
        assert [(row[0], int(row[1].replace(",", ""))) for row in rows] == [
            (key.key, key.refused) for key in outcome.top
        ]


@pytest.mark.parametrize("name", ["replay.html", "suggest.html"])
@pytest.mark.parametrize("width", [1200, 390, 320])
def test_charts_fit_the_window(opened, name, width):
    browser = opened(name, width)
    sizes = [picture.size for picture in browser.find_elements(By.CSS_SELECTOR, ".scroll > svg")]
    assert sizes
    assert all(size["width"] > 300 and size["height"] > 50 for size in sizes)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    paths = browser.find_elements(By.CSS_SELECTOR, "svg path, svg rect.admitted, svg rect.refused")
    assert any(path.size["width"] > 100 for path in paths)


@pytest.mark.parametrize("width", [1200, 390])
def test_numbers_addresses_and_times_do_not_wrap(opened, width):
    browser = opened("replay.html", width)
    lines = "const text = document.createRange(); text.selectNodeContents(arguments[0]); return text.getClientRects().length"
    found = browser.find_elements(By.CSS_SELECTOR, "#largest td:not(:first-child), .top td:nth-child(-n+3)")
    found = [cell for cell in found if cell.is_displayed()]
    assert len(found) > 25
    assert {cell.text: browser.execute_script(lines, cell) for cell in found} == {cell.text: 1 for cell in found}


@pytest.mark.parametrize("name", ["replay.html", "suggest.html"])
def test_page_loads_nothing_and_logs_no_errors(opened, name, files):
    browser = opened(name)
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert errors(browser) == []
    content = (files / name).read_text(encoding="utf-8")
    assert "<script" not in content
    assert "http://" not in content and "https://" not in content  # noqa: PT018


@pytest.mark.parametrize("width", [375, 768, 1440])
def test_important_columns_are_seen_on_a_phone(opened, width):
    """Others are left out there, and a line of text mentions it."""
    browser = opened("replay.html", width)
    heads = [head for head in browser.find_elements(By.CSS_SELECTOR, "#limit-1 .top th") if head.is_displayed()]
    assert {"key", "refused", "share", "looks like"} <= {head.text for head in heads}
    assert all(head.location["x"] + head.size["width"] <= width for head in heads)
    hint = browser.find_element(By.CSS_SELECTOR, ".hint.columns")
    assert hint.is_displayed() == (width == 375)
    assert browser.find_element(By.TAG_NAME, "h1").text.startswith("token-bucket 60/minute burst 40 refuses 3 of 5,019")


@pytest.mark.parametrize("width", [375, 768])
def test_a_chart_that_scrolls_has_a_hint(opened, width):
    browser = opened("suggest.html", width)
    box = browser.find_element(By.CSS_SELECTOR, ".scroll:has(> svg)")
    scrolls = browser.execute_script("return arguments[0].scrollWidth > arguments[0].clientWidth", box)
    assert scrolls == (width == 375) == browser.find_element(By.CSS_SELECTOR, ".hint.chart").is_displayed()


def test_lines_that_coincide_are_distinguishable_and_zero_is_zero(opened, files):
    """Equal lines are one line with both names. A share of zero is on the line that is labelled so."""
    browser = opened("suggest.html")
    names = [item.text for item in browser.find_elements(By.CSS_SELECTOR, ".legend span")]
    widths = {browser.execute_script("return getComputedStyle(document.querySelector(arguments[0])).strokeWidth", path)
              for path in (f"svg path.c{kind}" for kind in range(1, len(names) + 1))}  # fmt: skip
    assert len(widths) == len(names)
    [zero] = [label for label in browser.find_elements(By.CSS_SELECTOR, "svg text.tick") if label.text == "0"]
    for circle in browser.find_elements(By.CSS_SELECTOR, "circle:has(title)"):
        title = circle.find_element(By.TAG_NAME, "title").get_attribute("textContent")
        at_zero = abs(float(circle.get_attribute("cy")) + 4 - float(zero.get_attribute("y"))) < 0.5
        assert at_zero == title.endswith(": 0 %")


@pytest.mark.parametrize("name", ["replay.html", "suggest.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_enough_contrast(opened, name, scheme):
    browser = opened(name, scheme=scheme)
    style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    paper = browser.execute_script(style, "body", "backgroundColor")
    assert (luminance(paper) < 0.2) == (scheme == "dark")
    for text in ("h1", "p.soft", "thead th"):
        assert contrast(paper, browser.execute_script(style, text, "color")) >= 4.5
    assert contrast(paper, browser.execute_script(style, "svg text", "fill")) >= 4.5
    shapes = [("svg .admitted", "fill"), ("svg .refused", "fill"), ("svg .delayed", "fill")]
    for shape, how in shapes if name == "replay.html" else [(f"svg .c{kind}", "stroke") for kind in range(1, 6)]:
        assert contrast(paper, browser.execute_script(style, shape, how)) >= 3


def test_every_chart_has_a_text_alternative(opened):
    browser = opened("replay.html")
    for picture in browser.find_elements(By.CSS_SELECTOR, "svg[role=img]"):
        assert picture.get_attribute("aria-label")
    heads = browser.find_elements(By.CSS_SELECTOR, "thead th")
    assert all(head.get_attribute("scope") == "col" for head in heads)
