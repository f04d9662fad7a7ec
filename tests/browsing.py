"""Headless Chromium for tests of pages, and how well text is seen on its background."""

from contextlib import contextmanager

from selenium import webdriver
from tools import program


@contextmanager
def chromium():
    """Start a browser that records what pages log."""
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium")
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(program("chromedriver")))
    try:
        yield browser
    finally:
        browser.quit()


def resize(browser, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def open_page(browser, url, width=1200, scheme="light"):
    """Open a page in a window of a given width, in light or dark, and forget what the pages before have logged."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    resize(browser, width)
    browser.get_log("browser")
    browser.get(url)
    return browser


def errors(browser):
    return [entry for entry in browser.get_log("browser") if "favicon" not in entry["message"]]


def luminance(colour):
    parts = [int(part) / 255 for part in colour.partition("(")[2].rstrip(")").split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Compute the contrast as the Web Content Accessibility Guidelines 2.2 define it."""
    high, low = sorted([luminance(one), luminance(other)], reverse=True)
    return (high + 0.05) / (low + 0.05)
