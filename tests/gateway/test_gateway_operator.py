"""The operator's pages: status in a real browser, metrics, usage, and canaries."""

import json

import httpx
import pytest
from browsing import open_page, resize
from gateway_harness import KEY, App
from selenium.webdriver.common.by import By
from waiting import until

from ratelimit.gateway import Api, Canary, CanarySplit, Configuration, Mock, Route, Stage, Throttle

GATEWAY = f"""
throttle: {{rate: 1000, burst: 500}}
apis:
  shop:
    routes: &old
      GET /pets: {{mock: {{body: "old ${{stageVariables.colour}}"}}}}
      GET /keyed: {{api_key_required: true, mock: {{body: "[]"}}}}
      GET /<b>: {{mock: {{}}}}
    deployments:
      first: *old
      second:
        GET /pets: {{mock: {{body: "new ${{stageVariables.colour}} ${{stageVariables.size}}"}}}}
    stages:
      $default:
        deployment: first
        variables: {{colour: blue, size: small}}
        throttle: {{rate: 50, burst: 60}}
        route_throttles: {{GET /pets: {{rate: 0.01, burst: 5}}}}
        canary: {{percent: 0, deployment: second, variables: {{colour: green}}}}
api_keys: {{ann: {KEY}, ben: {KEY}b}}
plans: {{gold: {{keys: [ann, ben], stages: shop/$default, quota: {{limit: 4, period: DAY}}}}}}
"""


@pytest.fixture
def server(serve):
    return serve(GATEWAY.replace("GET /<b>", "GET /b"))


def test_status_page_in_a_browser(server, browser):
    """Chromium shows routes and stages, and the admitted and refused requests as they come."""

    def numbers(row):
        """Read all cells at once: the page rebuilds its rows each second."""
        script = "return [...document.querySelectorAll(arguments[0])].map(cell => cell.innerText)"
        return browser.execute_script(script, row + " td")

    def wait_for(condition):
        until(condition, lambda: browser.page_source)

    open_page(browser, f"{server.url}/_gateway")
    wait_for(lambda: browser.find_elements(By.CSS_SELECTOR, "[data-ready]"))
    row = '[data-route="GET /pets"][data-side="base"]'
    assert numbers(row)[:2] == ["GET /pets", "0.01/s, burst 5"]
    text = browser.execute_script("return document.getElementById('stages').innerText")
    assert "shop/$default" in text
    assert "canary 0%" in text
    for _ in range(8):
        httpx.get(f"{server.url}/pets")
    httpx.get(f"{server.url}/keyed", headers={"x-api-key": KEY})
    wait_for(lambda: numbers(row)[5:7] == ["5", "3"])
    wait_for(lambda: numbers('[data-key="ann"]')[2:] == ["1", "3"])
    assert browser.execute_script("return document.querySelectorAll(arguments[0]).length", row + " polyline") == 2
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    cut = "return [...document.querySelectorAll('th')].filter(th => th.scrollWidth > th.clientWidth).length"
    assert browser.execute_script(cut) == 0
    resize(browser, 500)
    assert browser.execute_script(cut) == 0
    # The scroll position stays when the page rebuilds its rows.
    browser.execute_script(
        "document.querySelector('.scroll').scrollLeft = 120; document.querySelector('tr').id = 'old'"
    )
    wait_for(lambda: not browser.find_elements(By.ID, "old"))
    assert browser.execute_script("return document.querySelector('.scroll').scrollLeft") == 120
    server.stop()
    wait_for(lambda: "No news" in browser.find_element(By.ID, "trouble").text)


def test_metrics_are_by_route_and_level(server):
    """The format is Prometheus'; no label is a key."""
    from prometheus_client.parser import text_string_to_metric_families

    for _ in range(8):
        httpx.get(f"{server.url}/pets")
    for _ in range(5):
        httpx.get(f"{server.url}/keyed", headers={"x-api-key": KEY, "user-agent": KEY})
    for path in ("/nothing", "/no%00thing"):
        httpx.get(server.url + path)
    text = httpx.get(f"{server.url}/_gateway/metrics").text
    assert KEY not in text
    assert "ann" not in text
    samples = {
        (sample.name, *(sample.labels.get(name, "") for name in ("route", "result", "level", "code"))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    requests = "ratelimit_gateway_requests_total"
    assert samples[requests, "GET /pets", "admitted", "", "2xx"] == 5
    assert samples[requests, "GET /pets", "throttled", "", "4xx"] == 3
    assert samples[requests, "GET /keyed", "quota_exceeded", "", "4xx"] == 1
    assert samples[requests, "", "denied", "", "4xx"] == 2  # those without a route, but not the operator's
    assert samples["ratelimit_gateway_refused_total", "GET /pets", "", "method", ""] == 3
    assert samples["ratelimit_gateway_refused_total", "GET /keyed", "", "quota", ""] == 1
    assert samples["ratelimit_gateway_request_seconds_count", "GET /pets", "", "", ""] == 8
    assert 0 < samples["ratelimit_gateway_request_seconds_sum", "GET /pets", "", "", ""] < 8
    assert 'ratelimit_gateway_keys{level="counts"}' in text


def test_usage_and_its_adjustment(server):
    with httpx.Client(base_url=server.url) as client:
        keyed = {"x-api-key": KEY}
        assert [client.get("/keyed", headers=keyed).status_code for _ in range(5)] == [200] * 4 + [429]
        order = {"plan": "gold", "key": "ann", "remaining": 2}
        assert client.post("/_gateway/usage", json=order).json() == {"remaining": 2}
        assert [client.get("/keyed", headers=keyed).status_code for _ in range(3)] == [200] * 2 + [429]
        values = client.get("/_gateway/usage?plan=gold&key=ann").json()["values"]["ann"]
        assert list(values.values())[-1] == [6, 0]
        assert len(values) == 7
        for wrong in (
            {"plan": "x"},
            {"plan": "gold", "key": "ann", "remaining": -1},
            {"plan": "gold", "key": "x", "remaining": 1},
            5,
        ):
            assert client.post("/_gateway/usage", json=wrong).status_code == 400
        assert client.get("/_gateway/usage?plan=gold&start=yesterday").status_code == 400
        assert client.get("/_gateway/usage?plan=gold&end=0001-01-02").status_code == 400
        assert client.get("/_gateway/usage").json() == {"message": "'plan' is missing"}
        assert client.get("/_gateway/usage?plan=x").json() == {"message": "plan: expected one of gold, got 'x'"}


def test_reload_promotes_a_canary_and_the_old_file_rolls_back(server):
    """The deployment and the variables of the canary become those of the stage; the file before it rolls back."""
    promoted = server.file.read_text().replace("deployment: first", "deployment: second").replace("blue", "green")
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/pets").text == "old blue"
        for reloads, (text, body, keyed) in enumerate(
            ((promoted, "new green small", 404), (server.file.read_text(), "old blue", 403)), 1
        ):
            server.file.write_text(text)
            server.wait_for("reloaded", reloads)
            assert client.get("/pets").text == body
            assert client.get("/keyed").status_code == keyed
        for order in ("promote", "rollback"):  # only the file determines the deployments
            assert client.post(f"/_gateway/{order}", json={"stage": "shop/$default"}).status_code == 404
        answer = client.post("/_gateway/usage", json=["gold"])
        assert (answer.status_code, answer.json()["message"]) == (400, "body: expected a JSON object, got ['gold']")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 404),  # a name that was made to point here
        ({"content-type": "text/plain"}, 415),  # what a form or a script of another site can send unasked
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_rejects_orders_from_other_sites(server, headers, status):
    order = json.dumps({"plan": "gold", "key": "ann", "remaining": 1})
    headers = {"content-type": "application/json", **headers}
    assert httpx.post(f"{server.url}/_gateway/usage", content=order, headers=headers).status_code == status


@pytest.mark.parametrize("path", ["", "/", "/status.json", "/metrics", "/usage?plan=gold", "/other"])
def test_operator_pages_are_404_for_other_clients(path):
    configuration = Configuration(apis={"a": Api(routes={"GET /": Route(mock=Mock())}, stages={"$default": Stage()})})
    ask = App(configuration, client="192.0.2.7")
    assert ask.get(f"/_gateway{path}").json() == {"message": "Not Found"}
    inside = App(configuration, client="127.0.0.1")
    assert inside("GET", f"/_gateway{path}", headers={"host": "localhost"}).status_code in (200, 400, 404)


def test_canary_gets_its_share_at_random():
    chances = [i / 1_000 for i in range(1_000)]
    for percent in (0, 0.1, 12.5, 99.9, 100):
        draws = iter(chances)
        sides = [
            CanarySplit("base", "canary", percent, lambda draws=draws: next(draws)).choose()
            for _ in range(1_000 if percent else 1)
        ]
        assert sides.count("canary") == round(percent * 10)


def test_canary_shares_the_limits(clock):
    """Both sides of a stage are counted together; the log and the metrics show which one served."""
    deployments = {name: {"GET /": Route(mock=Mock(body=name))} for name in ("old", "new")}
    stage = Stage("old", Throttle(1, 300), canary=Canary(30, "new"))
    ask = App(Configuration(apis={"a": Api(deployments=deployments, stages={"$default": stage})}), clock)
    answers = [ask.get("/").text for _ in range(320)]
    assert len([text for text in answers if "Too Many" in text]) == 20
    assert 40 < answers.count("new") < 150  # 30 % of 300, within more than 5 standard deviations
    totals = {s["side"]: s["routes"][0]["admitted"] for s in ask.gateway.pages.status()["stages"]}
    assert totals == {"base": answers.count("old"), "canary": answers.count("new")}


@pytest.mark.parametrize("forwarded", ["unknown", "unix:", "192.0.2.7, unknown", "_hidden, 127.0.0.1"])
def test_client_with_an_unknown_address_is_not_the_operator(forwarded):
    """The proxy's own address may be one of operators."""
    api = Api(routes={"GET /": Route(mock=Mock(), allow=["127.0.0.0/8"])}, stages={"$default": Stage()})
    ask = App(Configuration({"a": api}, trusted_proxies=["127.0.0.1"]), client="127.0.0.1")
    headers = {"host": "localhost", "x-forwarded-for": forwarded}
    assert ask.get("/_gateway/metrics", headers=headers).status_code == 404
    assert ask.get("/", headers=headers).status_code == 403
    assert ask.get("/_gateway/metrics", headers={"host": "localhost"}).status_code == 200
