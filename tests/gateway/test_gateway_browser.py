"""CORS in a real browser: what a page of another origin may ask, and which refusals it can read."""

import json

import pytest
from browsing import chromium, open_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]  # Chromium starts

FETCH = """
const [url, options, done] = arguments;
fetch(url, options).then(
  async (answer) => done([answer.status, await answer.text(), answer.headers.get("x-shown")]),
  (error) => done([0, error.name, null]),
);
"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(backend, browser):
    """Return a function that opens a blank page of an origin of its own, and gives its origin."""

    async def blank(_, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<!doctype html>")
        await writer.drain()

    def start():
        return backend(blank).url

    return start


def ask(browser, origin, url, **options):
    open_page(browser, origin)
    return browser.execute_async_script(FETCH, url, options)


def configuration(origin, **cors):
    shared = {"allow_origins": [origin], "allow_methods": ["GET", "PUT"], "allow_headers": ["x-token"]}
    mock = {"mock": {"body": "done", "headers": {"x-shown": "yes"}}}
    stage = {"route_throttles": {"PUT /items": {"rate": 0.001, "burst": 2}}}
    api = {"type": "http", "cors": shared | cors, "routes": {"PUT /items": mock}, "stages": {"$default": stage}}
    return json.dumps({"apis": {"shop": api}})


def test_a_page_asks_after_a_preflight_and_reads_refusals(browser, page, serve):
    origin, other = page(), page()
    url = serve(configuration(origin, expose_headers=["x-shown"])).url
    put = {"method": "PUT", "headers": {"x-token": "abc"}}
    # Each has a preflight before it, which spends nothing: two requests are admitted, and the third is refused.
    assert [ask(browser, origin, f"{url}/items", **put) for _ in range(2)] == [[200, "done", "yes"]] * 2
    status, text, _ = ask(browser, origin, f"{url}/items", **put)
    assert (status, "Too Many Requests" in text) == (429, True)
    assert ask(browser, origin, f"{url}/missing")[0] == 404  # a page can tell it from a failure of the network
    assert ask(browser, other, f"{url}/items", **put) == [0, "TypeError", None]
    assert ask(browser, origin, f"{url}/items", method="DELETE") == [0, "TypeError", None]
    assert ask(browser, origin, f"{url}/items", method="PUT", headers={"x-other": "1"}) == [0, "TypeError", None]


def test_a_page_reads_only_the_headers_that_are_exposed_and_sends_cookies_only_if_allowed(browser, page, serve):
    origin = page()
    url = serve(configuration(origin)).url
    assert ask(browser, origin, f"{url}/items", method="PUT") == [200, "done", None]
    assert ask(browser, origin, f"{url}/items", method="PUT", credentials="include") == [0, "TypeError", None]
    allowed = serve(configuration(origin, allow_credentials=True)).url
    assert ask(browser, origin, f"{allowed}/items", method="PUT", credentials="include")[0] == 200
