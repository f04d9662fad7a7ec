"""The file of `ratelimit serve`: each field has an effect, and what cannot be is refused with its line."""

import pytest
import yaml
from serve_harness import Service
from servers import PACKAGE

from ratelimit._configuration.problems import ConfigurationError
from ratelimit.serve.config import read_file

EXAMPLES = PACKAGE / "examples" / "serve"


@pytest.fixture
def service(tmp_path):
    return lambda text, **options: Service(tmp_path, text, **options)


def test_answers_with_the_fields_of_the_limit(service):
    found = service("limits: {api: 2/minute}")
    status, fields, body = found.ask("/check/api")
    assert (status, fields["ratelimit-policy"], fields["ratelimit"], body) == (
        200, '"2/minute";q=2;w=60', '"2/minute";r=1;t=30', "",
    )  # fmt: skip
    found.ask("/check/api")
    status, fields, body = found.ask("/check/api", accept="application/json")
    assert (status, fields["retry-after"], fields["ratelimit"]) == (429, "30", '"2/minute";r=0;t=30')
    assert fields["content-type"] == "application/problem+json"
    assert '"status": 429' in body
    found.clock.advance(30)
    assert found.status("/check/api") == 200


def test_several_limits_are_one_decision_with_all_policies(service):
    found = service("limits: {api: 2/minute; fixed-window 10/day}")
    statuses = [found.ask("/check/api") for _ in range(4)]
    assert [status for status, _, _ in statuses] == [200, 200, 429, 429]
    assert statuses[0][1]["ratelimit-policy"] == '"2/minute";q=2;w=60, "10/day";q=10;w=86400'
    assert statuses[2][1]["ratelimit"] == '"2/minute";r=0;t=30'


def test_nginx_gets_a_403_and_shares_the_limit(service):
    found = service("limits: {api: 2/minute}")
    assert [found.status(f"/{form}/api") for form in ("check", "auth_request", "auth_request", "check")] == [
        200, 200, 403, 429,
    ]  # fmt: skip
    assert found.ask("/auth_request/api")[1]["retry-after"] == "30"


def test_the_path_of_the_limited_request_may_follow_the_name(service):
    """Envoy appends it."""
    found = service("limits: {api: {limit: 1/minute, key: query user}}")
    assert found.status("/check/api/shop/items?user=ann") == 200
    assert found.status("/check/api?user=ann") == 429
    assert found.status("/check/api/?user=bob") == 200


def test_traefik_gets_an_answer_that_it_passes_on(service):
    """The question is the one that its documentation describes: a GET with the request in X-Forwarded fields."""
    example = yaml.safe_load((EXAMPLES / "traefik.yaml").read_text())
    address = example["http"]["middlewares"]["api-limit"]["forwardAuth"]["address"]
    target = address.removeprefix("http://127.0.0.1:9090")
    found = service((EXAMPLES / "limits.yaml").read_text())
    fields = {"x_forwarded_method": "POST", "x_forwarded_uri": "/shop", "x_forwarded_for": "203.0.113.7"}
    answers = [found.ask(target, **fields) for _ in range(6)]
    assert [status for status, _, _ in answers] == [200] * 5 + [429]
    assert answers[-1][1]["retry-after"] == "12"


@pytest.mark.parametrize(
    "target", ["/", "/check", "/check/", "/check/other", "/check/api2", "/checks/api", "/CHECK/api"]
)
def test_an_unknown_target_is_not_found(service, target):
    assert service("limits: {api: 1/minute}").status(target) == 404


@pytest.mark.parametrize(
    ("key", "same", "other"),
    [
        ("address", {"x_forwarded_for": "198.51.100.9, 203.0.113.1"}, {"x_forwarded_for": "198.51.100.9, 203.0.113.2"}),
        ("address", {"x_forwarded_for": "2001:db8::1"}, {"x_forwarded_for": "2001:db8:0:1::1"}),
        ("header X-User", {"x_user": "ann"}, {"X-User": "bob"}),
        ("header x-user or address", {"x_user": "ann"}, {"x_forwarded_for": "203.0.113.1"}),
        ("header x-user or address", {"x_forwarded_for": "203.0.113.1"}, {"x_forwarded_for": "203.0.113.2"}),
        ("[header x-user, address]", {"x_user": "ann"}, {"x_user": "ann", "x_forwarded_for": "203.0.113.1"}),
        ("query user", {"target": "?user=ann&x=1"}, {"target": "?x=1&user=bob"}),
    ],
)
def test_the_key_comes_from_its_place(service, key, same, other):
    found = service(f"limits: {{api: {{limit: 1/minute, key: {key}}}}}")

    def status(target="", **headers):
        return found.status(f"/check/api{target}", **headers)

    assert [status(**same), status(**same), status(**other)] == [200, 429, 200]


def test_everyone_is_one_key(service):
    found = service("limits: {api: {limit: 1/minute, key: everyone}}")
    assert [found.status("/check/api", x_forwarded_for=f"203.0.113.{n}") for n in (1, 2)] == [200, 429]


@pytest.mark.parametrize(
    ("proxies", "peer", "believed"),
    [
        ("", "127.0.0.1", True), ("", "10.0.0.1", False), ("", "", True),
        ("trusted_proxies: [10.0.0.0/8]", "10.0.0.1", True), ("trusted_proxies: [10.0.0.0/8]", "127.0.0.1", False),
        ("trusted_proxies: []", "", False),
    ],
)  # fmt: skip
def test_only_trusted_proxies_name_the_client(service, proxies, peer, believed):
    found = service(f"limits: {{api: 1/minute}}\n{proxies}")
    assert found.status("/check/api", peer=peer, x_forwarded_for="203.0.113.1") == 200
    assert found.status("/check/api", peer=peer, x_forwarded_for="203.0.113.2") == (200 if believed else 429)


@pytest.mark.parametrize(("absent", "statuses"), [("share", [200, 429]), ("allow", [200, 200]), ("refuse", [429, 429])])
def test_requests_without_the_key(service, absent, statuses):
    found = service(f"limits: {{api: {{limit: 1/minute, key: header x-user, absent: {absent}}}}}")
    assert [found.status("/check/api") for _ in range(2)] == statuses
    assert found.status("/check/api", x_user="ann") == 200


@pytest.mark.parametrize(
    ("cost", "sent"), [("2", {}), ("header x-cost", {"x_cost": "2"}), ("query n", {"target": "?n=2"})]
)
def test_the_cost_comes_from_its_place(service, cost, sent):
    found = service(f"limits: {{api: {{limit: 4/minute, cost: {cost}}}}}")
    sent = dict(sent)
    target = "/check/api" + sent.pop("target", "")
    assert [found.status(target, **sent) for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("cost", ["0", "-1", "1.5", "x", "9" * 20])
def test_an_impossible_cost_spends_nothing(service, cost):
    found = service("limits: {api: {limit: 1/minute, cost: header x-cost}}")
    assert found.status("/check/api", x_cost=cost) == 400
    assert [found.status("/check/api") for _ in range(2)] == [200, 429]


def test_shadow_admits_all_without_a_word_to_clients(service):
    found = service("limits: {api: {limit: 1/minute, shadow: true}}")
    answers = [found.ask("/check/api") for _ in range(2)]
    assert [status for status, _, _ in answers] == [200, 200]
    assert "retry-after" not in answers[1][1]
    assert 'result="shadow"} 1' in found.ask("/metrics")[2]


@pytest.mark.parametrize(
    ("headers", "expected"), [("draft", "ratelimit"), ("legacy", "x-ratelimit-remaining"), ("none", None)]
)
def test_the_fields_are_those_of_the_file(service, headers, expected):
    fields = service(f"limits: {{api: 1/minute}}\nheaders: {headers}").ask("/check/api")[1]
    assert [name for name in fields if "ratelimit" in name][-1:] != [] or expected is None
    assert expected is None or expected in fields


@pytest.mark.parametrize(("fail_open", "statuses"), [("true", {200}), ("false", {200, 503})])
def test_a_failure_of_the_limiter_is_never_a_429(service, fail_open, statuses):
    found = service(f"limits: {{api: {{limit: 1/hour, key: header x-user, fail_open: {fail_open}}}}}\nmax_keys: 4")
    assert {found.status("/check/api", x_user=str(user)) for user in range(100)} == statuses
    assert f'result="failed_{"open" if fail_open == "true" else "closed"}"' in found.ask("/metrics")[2]


def test_a_reload_keeps_what_was_spent(service):
    found = service("limits: {api: fixed-window 2/minute, gone: 1/day}")
    assert [found.status("/check/api") for _ in range(3)] == [200, 200, 429]
    found.reload("limits: {api: fixed-window 5/minute, new: 1/day}")
    assert [found.status("/check/api") for _ in range(4)] == [200, 200, 200, 429]
    assert [found.status(f"/check/{name}") for name in ("gone", "new")] == [404, 200]
    found.reload("limits: {api: sliding-window 1/minute}")  # another algorithm starts afresh
    assert found.status("/check/api") == 200


def test_a_file_that_cannot_be_used_changes_nothing_later(service, tmp_path):
    found = service("limits: {api: 2/minute}", where=f"file:{tmp_path}")
    (tmp_path / "bad.1-token-bucket.tbl").write_bytes(b"not a table" * 1_000)
    with pytest.raises(ConfigurationError, match=r"limits\.bad: .* not a ratelimit table"):
        found.reload("limits: {api: 50/minute, bad: 1/minute}")
    found.reload("limits: {api: 2/minute}")
    assert [found.status("/check/api") for _ in range(3)] == [200, 200, 429]


def test_services_share_a_table_by_its_name(service, shared_name, tmp_path):
    one, other = (service("limits: {api: 4/minute}", where=f"shared:{shared_name}") for _ in range(2))
    assert [found.status("/check/api") for found in (one, other) * 3] == [200] * 4 + [429] * 2
    assert 'result="allowed"} 4' in other.ask("/metrics")[2]
    where = f"file:{tmp_path / 'tables'}"
    assert [service("limits: {api: 1/day}", where=where).status("/check/api") for _ in range(2)] == [200, 429]


def test_health_page_answers_200(service):
    assert service("limits: {api: 1/minute}").ask("/health")[::2] == (200, "ok\n")


WRONG = {
    "limits: {api: 5/fortnight}": "limits.api.limit: limit '5/fortnight'",
    "limits: {api: {}}": "limits.api: missing required limit",
    "limits: {a/b: 1/minute}": "limits['a/b']: expected a name of letters",
    "limits: {api: {limit: 1/minute, key: cookie}}": "limits.api.key[0]: expected 'address', 'everyone'",
    "limits: {api: {limit: 1/minute, key: header}}": "limits.api.key[0]: expected 'address', 'everyone'",
    "limits: {api: {limit: 1/minute, cost: 0}}": "limits.api.cost: expected a whole number from 1",
    "limits: {api: {limit: 1/minute, cost: address}}": "limits.api.cost: expected a whole number from 1",
    "limits: {api: {limit: 1/minute, cost: header x-cost or address}}": "limits.api.cost: expected a whole number from 1",
    "limits: {api: {limit: 1/minute, absent: maybe}}": "limits.api.absent: expected one of share, allow, refuse, got 'maybe'",
    "limits: {api: {limit: 1/minute, shadow: 1}}": "limits.api.shadow: expected true or false, got 1",
    "limits: {api: {limit: 1/minute, burst: 3}}": "limits.api: unknown name 'burst'",
    "limits: {api: 1/minute}\nheaders: old": "headers: expected one of draft, legacy, none, got 'old'",
    "limits: {api: 1/minute}\ntables: redis": "tables: expected memory, shared:NAME, file:FOLDER or valkey://HOST:PORT/0?name=NAME, got 'redis'",
    "limits: {api: 1/minute}\nmax_keys: 0": "max_keys: expected from 1 to 1000000000, got 0",
    "limits: {api: 1/minute}\ntrusted_proxies: [localhost]": "trusted_proxies: expected addresses or networks, got ['localhost']",
    "limits: {api: 1/minute}\nport: 80": "unknown name 'port'",
    "{}": "missing required limits or descriptors",
    "": "expected a configuration, got an empty file",
}  # fmt: skip


@pytest.mark.parametrize(("text", "problem"), WRONG.items(), ids=WRONG)
def test_what_cannot_be_is_refused_with_its_line(tmp_path, text, problem):
    file = tmp_path / "limits.yaml"
    file.write_text(f"# a comment\n{text}\n")
    with pytest.raises(ConfigurationError) as raised:
        read_file(file)
    line = 3 if "\n" in text else 1 if not text else 2
    assert str(raised.value).startswith(f"{file}:{line}: {problem}")
