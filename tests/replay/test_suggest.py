"""`suggest`: limits that touch few clients, and what the clients above them look like."""

import json
import re
import subprocess
from datetime import UTC, datetime

import pytest
import yaml
from tools import program

from ratelimit.language import ALGORITHMS
from ratelimit.replay import replay_log
from ratelimit.replay.answer import Inquiry, group_of
from ratelimit.replay.cli import suggest
from ratelimit.replay.logs import recorded
from ratelimit.replay.reading.reader import Reader
from ratelimit.replay.render.by_group import groups_configuration
from ratelimit.replay.render.configuration import configuration

MINUTE = 60 * 10**9
START = 1_767_571_200
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0"


def line(at, client, target="/", status=200, agent=BROWSER, method="GET"):
    when = datetime.fromtimestamp(START + at, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    return at, f'{client} - - [{when}] "{method} {target} HTTP/1.1" {status} 1 "-" "{agent}"\n'


def write(path, lines):
    path.write_text("".join(text for _, text in sorted(lines)))
    return path


def people(number=100, pages=5):
    """Return clients that load a few pages each, at most `pages` in a minute."""
    return [
        line(37 * one + 7 * page, f"192.0.2.{one}", f"/page/{page}") for one in range(number) for page in range(pages)
    ]


PROGRAMS = {
    "crawler": [line(3 * n, "203.0.113.9", f"/page/{n}", agent="Mozilla/5.0 (compatible; ExampleBot/2.1)") for n in range(900)],
    "script": [line(60 * (n // 30) + n % 3, "203.0.113.9", "/api/items", agent="curl/8") for n in range(900)],
    "scan": [line(n, "203.0.113.9", f"/old/{n}.php", 404) for n in range(900)],
    "login attack": [line(n, "203.0.113.9", "/login", 401, method="POST") for n in range(900)],
}  # fmt: skip


def answer(path, **options):
    reader = Reader([str(path)], options.pop("key", "client"), profile=True)
    trace, _ = recorded(reader)
    options = {"clients_at_most": 0.01, **options}
    return Inquiry(reader, trace, options.pop("algorithms", list(ALGORITHMS)), MINUTE, **options).answer()


@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_loud_program_does_not_dictate_the_limit(kind, tmp_path):
    alone = answer(write(tmp_path / "people.log", people()))
    both = answer(write(tmp_path / "both.log", people() + PROGRAMS[kind]))
    assert [one.limit for one in both.suggestions] == [one.limit for one in alone.suggestions]
    assert both.kinds == {kind: 1}
    first = both.above[0]
    assert (first.key, first.kind, first.requests) == ("203.0.113.9", kind, 900)
    assert first.reason
    assert alone.kinds == {}


def test_names_what_the_client_above_the_limit_does(tmp_path):
    lines = people() + [line(n // 4, "203.0.113.9", "/search", agent="shop-app/3") for n in range(400)]
    above = answer(write(tmp_path / "log", lines)).above[0]
    assert (above.key, above.kind, above.agent, above.target) == ("203.0.113.9", "", "shop-app/3", "GET /search")
    assert above.peak == 240


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_limit_touches_at_most_the_share_and_a_smaller_one_more(algorithm, tmp_path):
    """Client n sends n requests within a second; one of a hundred may be touched."""
    path = write(tmp_path / "log", [line(90 * n, f"192.0.2.{n}") for n in range(1, 101) for _ in range(n)])
    found = answer(path, algorithms=[algorithm]).suggestions[0]
    assert found.touched == 1
    outcome = replay_log(path, found.limit).outcomes[0]
    assert outcome.keys_refused == 1
    assert outcome.refused == found.refused
    smaller = {
        found.limit.replace(f" {found.number}/", f" {found.number - 1}/"),
        found.limit.replace(f"burst {found.at_once}", f"burst {found.at_once - 1}"),
        found.limit.replace(f"capacity {found.at_once - 1}", f"capacity {found.at_once - 2}"),
    } - {found.limit}
    assert smaller
    if algorithm not in ("token-bucket", "leaky-bucket"):
        assert all(replay_log(path, limit).outcomes[0].keys_refused > 1 for limit in smaller)


def test_reports_the_peaks_of_the_clients(tmp_path):
    path = write(
        tmp_path / "log",
        [line(90 * n, f"10.0.{n // 250}.{n % 250}") for n in range(1, 1_001) for _ in range(1 + n // 100)],
    )
    peaks = answer(path).peaks
    assert (peaks.median, peaks.p99, peaks.p999, peaks.largest) == (6, 10, 10, 11)


def test_reports_a_sample_that_is_too_small(tmp_path, capsys):
    path = write(tmp_path / "log", people(5))
    assert suggest.main([str(path)]) == 0
    assert "too small a sample for an answer: 5 usual clients" in capsys.readouterr().out
    path = write(tmp_path / "log", people(50))
    assert suggest.main([str(path)]) == 0
    assert "0.10 % of 50 usual clients is less than one; one may be touched" in capsys.readouterr().out


def test_a_limit_for_each_group(tmp_path):
    lines = people() + [
        line(37 * n + i, f"192.0.2.{n}", "/api/list", method="POST") for n in range(100) for i in range(20)
    ]
    result = answer(write(tmp_path / "log", lines), by="method + path/1")
    groups = {group.name: group.suggestion for group in result.groups}
    assert list(groups) == ["POST /api", "GET /page"]
    assert groups["POST /api"].most > groups["GET /page"].most


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("path/1", "/api"),
        ("path/2", "/api/v1"),
        ("path", "/api/v1/items"),
        ("method + path/1", "GET /api"),
        ("method", "GET"),
    ],
)
def test_groups_of_targets(by, expected):
    assert group_of("GET /api/v1/items", by) == expected


def test_suggest_answers_the_demo(made_log, tmp_path):
    """Five thousand clients, four thousand of which are one scan; the script is recognised without an option."""
    path = tmp_path / "answer.json"
    assert suggest.main([str(made_log), "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["kinds"] == {"login attack": 1, "scan": 4_000, "crawler": 2, "script": 1}
    assert found["usual"] == 1_015
    assert all(20 <= one["number"] <= 60 for one in found["suggestions"])
    assert [(one["key"], one["kind"]) for one in found["above"][:3]] == [
        ("203.0.113.66", "login attack"), ("198.51.100.80", "crawler"), ("203.0.113.20", "script"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("log") / "log", people())
    return answer(path, algorithms=["token-bucket"]).suggestions[0]


def test_configuration_in_python_makes_the_limiter(bucket):
    names = {"client": "192.0.2.1"}
    exec(configuration(bucket, "python"), names)
    assert str(names["limiter"]) == bucket.limit


def test_configuration_of_the_gateway_and_envoy_is_yaml(bucket):
    plan = yaml.safe_load(configuration(bucket, "gateway"))["plans"]["clients"]["throttle"]
    assert plan == {"rate": pytest.approx(bucket.number / 60, rel=1e-3), "burst": bucket.at_once}
    envoy = yaml.safe_load(configuration(bucket, "envoy"))["token_bucket"]
    assert envoy == {"max_tokens": bucket.at_once, "tokens_per_fill": bucket.number, "fill_interval": "60s"}


def test_nginx_accepts_its_configuration(bucket, tmp_path):
    zone, *limit = configuration(bucket, "nginx").splitlines()
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
        f"http {{ access_log off; {zone} server {{ listen 127.0.0.1:1; location / {{ {' '.join(limit)} }} }} }}"
    )
    done = subprocess.run([program("nginx"), "-t", "-p", tmp_path, "-c", config], capture_output=True, text=True)
    assert "syntax is ok" in done.stderr


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("flask-limiter", '"{number} per minute"'), ("slowapi", '"{number} per minute"'),
        ("api-gateway", "burstLimit={at_once}"), ("cloudflare", '"period": 60, "requests_per_period": {number},'),
    ],
)  # fmt: skip
def test_configuration_of_other_programs(form, expected, bucket):
    assert expected.format(number=bucket.number, at_once=bucket.at_once) in configuration(bucket, form)


def test_prints_the_configuration_alone(tmp_path, capsys):
    path = write(tmp_path / "log", people())
    assert suggest.main([str(path), "--clients-at-most", "1%", "--as", "nginx"]) == 0
    assert capsys.readouterr().out.startswith("limit_req_zone $binary_remote_addr zone=clients:10m rate=")
    path = write(tmp_path / "few", people(3))
    assert suggest.main([str(path), "--as", "nginx"]) == 2
    assert "too small a sample" in capsys.readouterr().err


def test_limits_by_path_are_configuration(made_log, tmp_path):
    """Where each group has a limit, they are printed with what distinguishes the groups."""
    found = answer(made_log, algorithms=["sliding-log"], by="method + path/1")
    names = {}
    exec(groups_configuration(found, "python"), names)
    assert str(names["limiters"]["GET /img"]).startswith("sliding-log ")
    served = yaml.safe_load(groups_configuration(found, "serve"))["limits"]
    assert served["get_img"] == {"limit": str(names["limiters"]["GET /img"])}
    lines = groups_configuration(found, "nginx").splitlines()
    expressions = dict(re.findall(r'\$client_of_(\w+) \{ "~(.*)" \$binary', "\n".join(lines)))
    assert len(expressions) == len(names["limiters"])
    for target, matches in (("GET /img/logo.png", True), ("GET /images", False), ("POST /img/logo.png", False)):
        assert bool(re.match(expressions["get_img"], target)) == matches
    http = " ".join(line for line in lines if line.startswith(("map", "limit_req_zone")))
    rest = " ".join(line for line in lines if line.startswith(("limit_req ", "limit_req_status")))
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
        f"http {{ access_log off; {http} server {{ listen 127.0.0.1:1; location / {{ {rest} }} }} }}"
    )
    done = subprocess.run([program("nginx"), "-t", "-p", tmp_path, "-c", config], capture_output=True, text=True)
    assert "syntax is ok" in done.stderr, done.stderr
    with pytest.raises(ValueError, match="--as with --by: expected one of python, serve, nginx, got 'envoy'"):
        groups_configuration(found, "envoy")
