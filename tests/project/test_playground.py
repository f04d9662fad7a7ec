"""The playground of the documentation: its decisions are those of the specification, and it works from a file."""

import json
import random
import subprocess
import sys
from pathlib import Path

import oracle
import pytest
from browsing import contrast, errors, luminance, open_page
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from waiting import until

from ratelimit import FixedWindow, LeakyBucket, SlidingLog, SlidingWindow, TokenBucket

FOLDER = Path(__file__).parents[2] / "docs/playground"
ORACLES = {
    "token-bucket": oracle.TokenBucket,
    "leaky-bucket": oracle.LeakyBucket,
    "fixed-window": oracle.FixedWindow,
    "sliding-window": oracle.SlidingWindow,
    "sliding-log": oracle.SlidingLog,
}
LIMITERS = {
    "token-bucket": TokenBucket,
    "leaky-bucket": LeakyBucket,
    "fixed-window": FixedWindow,
    "sliding-window": SlidingWindow,
    "sliding-log": SlidingLog,
}
# Decide each call of each case, and return the answers as text: JSON has no integers of this size.
DECIDE = """
const [source, cases, done] = arguments;
import("data:text/javascript," + encodeURIComponent(source)).then(({ ALGORITHMS, hit, peek }) => done(
  cases.map(({ name, rule, calls }) => {
    const algorithm = ALGORITHMS[name];
    const numbers = Object.fromEntries(Object.entries(rule).map(([key, value]) => [key, BigInt(value)]));
    let state = algorithm.fresh;
    return calls.map(([verb, now, cost]) => {
      const result = { hit, peek }[verb](algorithm, numbers, state, BigInt(now), BigInt(cost));
      if (verb === "hit") state = result.state;
      const { allowed, limit, remaining, retryAfter, resetAfter, delay } = result.decision ?? result;
      return [allowed, ...[limit, remaining, retryAfter, resetAfter, delay].map(String)];
    });
  })), (error) => done(String(error)));
"""


def case_of(name, rng):
    """Draw a rule and calls: clocks stand still, creep, leap and go back."""
    limit, period = rng.choice([1, 2, 3, 7, 12, 60]), rng.choice([1, 7, 1_000, 10**9, 60 * 10**9, 86_400 * 10**9])
    burst = rng.randint(1, 2 * limit)
    one = ORACLES[name](limit, period, burst) if "bucket" in name else ORACLES[name](limit, period)
    now, calls, answers = rng.choice([0, 5 * period, 1_700_000_000 * 10**9]), [], []
    for _ in range(30):
        step = rng.choice(
            [0, 0, 1, period // (2 * limit), period // limit, period // 3, period, 2 * period, -period // 5]
        )
        now, cost = max(0, now + step), rng.choice([1, 1, 1, 2, limit, limit + 1, 2 * limit + 2])
        verb = rng.choice(["hit", "hit", "peek"])
        answer = getattr(one, verb)(now, cost)
        calls.append([verb, str(now), str(cost)])
        retry = "null" if answer.retry_after_ns is None else str(answer.retry_after_ns)
        numbers = [str(n) for n in (answer.limit, answer.remaining)]
        answers.append([answer.allowed, *numbers, retry, str(answer.reset_after_ns), str(answer.delay_ns)])
    return {
        "name": name,
        "rule": {"limit": str(limit), "period": str(period), "burst": str(burst)},
        "calls": calls,
    }, answers


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    path = tmp_path_factory.mktemp("playground") / "playground.html"
    subprocess.run([sys.executable, FOLDER / "bundle.py", path], check=True)
    return path.as_uri()


@pytest.mark.parametrize("name", ORACLES)
def test_decisions_are_those_of_the_specification(browser, name):
    """All six fields of 3,000 decisions are compared."""
    rng = random.Random(name)
    cases, expected = zip(*(case_of(name, rng) for _ in range(100)), strict=True)
    browser.get("about:blank")
    found = browser.execute_async_script(DECIDE, (FOLDER / "algorithms.js").read_text(encoding="utf-8"), cases)
    assert len(found) == 100, found
    for case, answers, own in zip(cases, expected, found, strict=True):
        assert own == answers, json.dumps(case)


def choose(browser, traffic):
    browser.find_element(By.CSS_SELECTOR, f"input[value={traffic}]").click()


def numbers(browser, name, part):
    """Return the whole numbers in a line of a panel."""
    text = browser.find_element(By.CSS_SELECTOR, f"#{name} .{part}").text
    return [int(word) for word in text.replace(";", "").replace(",", "").split() if word.isdigit()]


def set_slider(browser, name, value):
    script = "const one = document.getElementById(arguments[0]); one.value = arguments[1]; one.dispatchEvent(new Event('input'))"
    browser.execute_script(script, name, value)


def paste(browser, text):
    """Paste a log; return what the page reports."""
    script = (
        "const log = document.getElementById('log'); log.value = arguments[0]; log.dispatchEvent(new Event('input'))"
    )
    browser.execute_script(script, text)
    return browser.find_element(By.ID, "read").text


@pytest.mark.parametrize(("limit", "burst"), [(12, 12), (7, 3), (1, 5), (40, 60)])
def test_greedy_client_reaches_each_bound_and_never_exceeds_it(browser, url, limit, burst):
    open_page(browser, url)
    choose(browser, "greedy")
    set_slider(browser, "limit", limit)
    set_slider(browser, "burst", burst)
    bounds = {"token-bucket": burst + limit, "leaky-bucket": limit, "fixed-window": 2 * limit,
              "sliding-window": 2 * limit - 1, "sliding-log": limit}  # fmt: skip
    for name, bound in bounds.items():
        assert numbers(browser, name, "most") == [bound, bound], name


@pytest.mark.parametrize("traffic", ["mixed", "steady", "boundary"])
def test_no_traffic_exceeds_a_bound(browser, url, traffic):
    open_page(browser, url)
    choose(browser, traffic)
    for limit in (1, 5, 12, 33):
        set_slider(browser, "limit", limit)
        set_slider(browser, "burst", limit)
        for name in ORACLES:
            most, bound = numbers(browser, name, "most")
            assert 0 < most <= bound
            admitted, refused = numbers(browser, name, "numbers")
            assert admitted > 0
            assert refused > 0 or traffic != "steady"


def test_pasted_log_has_the_decisions_of_the_library(browser, url):
    open_page(browser, url)
    choose(browser, "log")
    rng = random.Random(3)
    seconds = sorted(rng.randrange(0, 240) for _ in range(70))
    lines = [f'192.0.2.1 - - [24/Nov/2025:10:{s // 60:02}:{s % 60:02} +0100] "GET / HTTP/1.1" 200 5' for s in seconds]
    lines[10:10] = ["2025-11-24T09:00:58.5Z bob", "1763974858.25 bob", "no time here", ""]
    read = paste(browser, "\n".join(lines))
    assert read == "72 requests of 2 clients. Lines without a time that can be read: 1, the first is line 13."
    for name, limiter in LIMITERS.items():
        moments = [(1_763_974_800 + second) * 10**9 for second in seconds]
        admitted = int(limiter("12/minute").allow_many(["192.0.2.1"] * 70, now=moments).sum())
        assert numbers(browser, name, "numbers") == [admitted, 70 - admitted], name


@pytest.mark.parametrize(
    "line",
    [
        "192.0.2.1 - - [31/Feb/2025:10:00:58 +0000]",  # would be 3 March
        "192.0.2.1 - - [24/Foo/2025:10:00:58 +0000]",
        "192.0.2.1 - - [24/anF/2025:10:00:58 +0000]",
        "192.0.2.1 - - [24/Nov/2025:10:61:58 +0000]",
        "2025-02-31T10:00:58Z ann",
        "0001-01-01T00:00:00Z ann",  # before 1970
        "0000-00-00T00:00:00Z ann",
        "\0",
        "[" * 50_000,
    ],
)
def test_pasted_line_without_a_moment_is_named(browser, url, line):
    open_page(browser, url)
    choose(browser, "log")
    read = paste(browser, f"1763974800 ann\n{line}")
    assert read == "1 request of 1 client. Lines without a time that can be read: 1, the first is line 2."


def test_pasted_text_stays_text(browser, url):
    open_page(browser, url)
    choose(browser, "log")
    names = ["<img/src=x/onerror=alert(1)>", "__proto__", "constructor", "\u202eevil", "x" * 100_000]
    assert paste(browser, "\r\n".join(f"1763974800 {name}" for name in names)) == "5 requests of 5 clients."
    shown = [option.text for option in browser.find_elements(By.CSS_SELECTOR, "#client option")]
    assert [text.removesuffix(" (1 request)") for text in shown] == [*names[:4], "x" * 59 + "…"]
    assert browser.execute_script("return document.images.length") == 0
    assert errors(browser) == []


def test_pasted_log_has_a_bounded_length(browser, url):
    open_page(browser, url)
    choose(browser, "log")
    read = paste(browser, "\n".join(f"{1_763_974_800 + second} ann" for second in range(20_003)))
    assert read == "20000 requests of 1 client. Lines after line 20000 that were left out: 3."
    assert sum(numbers(browser, "sliding-log", "numbers")) == 20_000
    assert errors(browser) == []


def test_all_works_by_keyboard(browser, url):
    """Arrow keys change the traffic and the quota, P plays and pauses, and S sends a request."""
    open_page(browser, url)
    active = browser.switch_to.active_element
    active.send_keys(Keys.TAB * 5)  # the links of the header
    assert browser.switch_to.active_element.get_attribute("value") == "mixed"
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN * 4)
    assert browser.switch_to.active_element.get_attribute("value") == "hand"
    for _ in range(14):
        browser.switch_to.active_element.send_keys("s")
    assert numbers(browser, "token-bucket", "numbers") == [12, 2]
    assert numbers(browser, "leaky-bucket", "numbers") == [13, 1]
    said = browser.find_element(By.ID, "answer").text
    assert "Token bucket: refused, again in 5 s" in said
    browser.switch_to.active_element.send_keys("p")
    clock = browser.find_element(By.ID, "clock")
    until(lambda: float(clock.text.split()[0]) > 1, lambda: clock.text)
    browser.switch_to.active_element.send_keys("p")
    assert browser.find_element(By.ID, "play").text == "Play"
    browser.switch_to.active_element.send_keys(Keys.TAB, Keys.NULL)
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert browser.find_element(By.ID, "limit-text").text == "13 in a minute"


def test_click_into_a_picture_sends_a_request(browser, url):
    open_page(browser, url)
    choose(browser, "hand")
    browser.find_element(By.CSS_SELECTOR, "#fixed-window svg").click()
    assert numbers(browser, "fixed-window", "numbers") == [1, 0]


def test_page_is_one_file_without_a_server(browser, url):
    open_page(browser, url)
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert errors(browser) == []
    source = browser.page_source
    assert "http://" not in source.replace("http://www.w3.org", "")
    assert "https://" not in source


@pytest.mark.parametrize("width", [1440, 768, 375, 320])
def test_page_fits_the_window(browser, url, width):
    open_page(browser, url, width)
    for traffic in ("mixed", "log", "hand"):
        choose(browser, traffic)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_have_enough_contrast(browser, url, scheme):
    open_page(browser, url, scheme=scheme)
    style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    paper = browser.execute_script(style, "body", "backgroundColor")
    assert (luminance(paper) < 0.2) == (scheme == "dark")
    for text in (".lead", ".state", ".numbers .admitted", ".numbers .refused", "a"):
        assert contrast(paper, browser.execute_script(style, text, "color")) >= 4.5
    assert contrast(paper, browser.execute_script(style, "svg text", "fill")) >= 4.5
    for line in (".curve", "line.bound", "line.limit", "path.refused"):
        assert contrast(paper, browser.execute_script(style, f"svg {line}", "stroke")) >= 3
