"""Configuration files: YAML and TOML say the same, and errors name file, line and value."""

import re
import sys

import pytest

from ratelimit.gateway import (
    Api,
    Authorizer,
    CalendarQuota,
    Configuration,
    ConfigurationError,
    Mock,
    Networks,
    Plan,
    Proxy,
    Route,
    Stage,
    Throttle,
    read_file,
)
from ratelimit.gateway.server.command import main

YAML = """\
throttle: {rate: 100, burst: 50}
apis:
  shop:
    type: rest
    resources:
      /pets:
        GET: {mock: {status: 201, body: pets}}
        /{id}:
          GET: {api_key_required: true, proxy: "http://127.0.0.1:9000/p/{id}"}
    stages:
      prod:
        throttle: {rate: 2.5, burst: 3, shadow: true}
        route_throttles: {GET /pets: {rate: 1, burst: 1}}
        variables: {host: 127.0.0.1}
api_keys:
  ann: aaaaaaaaaaaaaaaaaaaaaaaa
plans:
  gold:
    keys: ann
    stages: shop/prod
    quota: {limit: 10, period: WEEK, offset: 2, start: 2026-01-05}
"""
TOML = """\
throttle = {rate = 100, burst = 50}

[apis.shop]
type = "rest"

[apis.shop.resources."/pets"]
GET = {mock = {status = 201, body = "pets"}}

[apis.shop.resources."/pets"."/{id}"]
GET = {api_key_required = true, proxy = "http://127.0.0.1:9000/p/{id}"}

[apis.shop.stages.prod]
throttle = {rate = 2.5, burst = 3, shadow = true}
route_throttles = {"GET /pets" = {rate = 1, burst = 1}}
variables = {host = "127.0.0.1"}

[api_keys]
ann = "aaaaaaaaaaaaaaaaaaaaaaaa"

[plans.gold]
keys = ["ann"]
stages = ["shop/prod"]
quota = {limit = 10, period = "WEEK", offset = 2, start = 2026-01-05}
"""


def by_hand():
    from datetime import date

    pet = Route(api_key_required=True, proxy=Proxy(to=["http://127.0.0.1:9000/p/{id}"]))
    pets = {"GET": Route(mock=Mock(201, body="pets")), "/{id}": {"GET": pet}}
    stage = Stage(
        throttle=Throttle(2.5, 3, shadow=True),
        route_throttles={"GET /pets": Throttle(1.0, 1)},
        variables={"host": "127.0.0.1"},
    )
    return Configuration(
        throttle=Throttle(100.0, 50),
        apis={"shop": Api(type="rest", resources={"/pets": pets}, stages={"prod": stage})},
        api_keys={"ann": "a" * 24},
        plans={"gold": Plan(["ann"], ["shop/prod"], quota=CalendarQuota(10, "WEEK", 2, date(2026, 1, 5)))},
    )


@pytest.mark.parametrize(("suffix", "text"), [(".yaml", YAML), (".toml", TOML)])
def test_a_file_says_what_python_says(tmp_path, suffix, text):
    file = tmp_path / f"gateway{suffix}"
    file.write_text(text)
    assert read_file(file) == by_hand()


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("rate: 100,", "rate: many,", 1, "throttle, rate must be a number, not 'many'"),
        ("rate: 100,", "rate: -1,", 1, "rate must be 0 or from 1e-6 to 1e9 requests per second, not -1.0"),
        ("rate: 100,", "rate: true,", 1, "throttle, rate must be a number, not True"),
        ("burst: 50", "burst: 5.5", 1, "throttle, burst must be a whole number, not 5.5"),
        ("burst: 50", "brust: 50", 1, "throttle: 'brust' is none of rate, burst, shadow"),
        (", burst: 50", "", 1, "throttle: burst is missing"),
        ("type: rest", "type: soap", 4, "type must be http, rest or websocket, not 'soap'"),
        ("status: 201", "status: 99", 7, "status must be from 200 to 599, not 99"),
        ("GET: {mock: {status: 201, body: pets}}", "GET: {}", 7, "a route has one of mock, proxy, function"),
        ("GET: {mock", "FETCH: {mock", 7, "not 'FETCH'"),
        ("      /pets:", "      pets:", 6, "a path begins with /, a method is one of GET, HEAD, POST, PUT, PATCH, "),
        ("/{id}:", "/{id}{x}:", 8, "neither literal nor one variable"),
        ("http://127", "ftp://127", 9, "to must be http, https, ws or wss, not 'ftp://127.0.0.1:9000/p/{id}'"),
        ("burst: 3,", "burst: [3],", 12, "throttle, burst must be a whole number, not [3]"),
        ("GET /pets: {rate", "GET /cats: {rate", 13, "'GET /cats' is no route of this API"),
        ("prod:\n", "pr od:\n", 11, "letters, digits, - and _ (an HTTP API's also $default), not 'pr od'"),
        ("ann: aaaaaaaaaaaaaaaaaaaaaaaa", "ann: short", 16, "key 'ann' must be 20 to 128 letters and digits"),
        ("keys: ann", "keys: [ann, bob]", 19, "plan 'gold': 'bob' is none of the API keys"),
        ("stages: shop/prod", "stages: shop/dev", 20, "plan 'gold': 'shop/dev' is none of the APIs and their stages"),
        ("period: WEEK", "period: YEAR", 21, "period must be one of DAY, WEEK, MONTH, not 'YEAR'"),
        (
            "start: 2026-01-05",
            "start: 2026-01-05T10:00:00Z",
            21,
            "start must be a day as 2026-01-31 (a datetime.date), not datetime.datetime(",
        ),
        (
            "    resources:",
            "    routes: {GET /pets: {mock: {}}}\n    resources:",
            5,
            "'GET /pets' stands in routes and in resources",
        ),
        (
            "    stages:\n",
            "      /pets/{id}: {GET: {mock: {}}}\n    stages:\n",
            7,
            "'GET /pets/{id}' stands in resources twice",
        ),
        ("start: 2026-01-05", "start: soon", 21, "start must be a day as 2026-01-31, not 'soon'"),
        ("offset: 2", "offset: 20", 21, "offset must be from 0 to the limit, 10, not 20"),
        ("plans:\n", "throttle: {}\nplans:\n", 17, "'throttle' stands twice"),
        ("plans:", "plans: [", 19, "no YAML"),
        ("type: rest", "type: !!python/name:os.system rest", 4, "no YAML"),
        ("type: rest", "nested: {a: {b: [1, {c: 2}]}}", 4, "'nested' is none of type, routes"),
        ("      prod:", "      $default:", 11, "not '$default'"),
        ("api_keys:", "headers: loud\napi_keys:", 15, "headers must be one of draft, legacy, both, none, not 'loud'"),
        ("api_keys:", "trusted_proxies: 10.0.0.0/40\napi_keys:", 15, "10.0.0.0/40"),
        ("rate: 100,", "rate: 1:30,", 1, "throttle, rate must be a number, not '1:30'"),
        ("rate: 100,", f"rate: 1{'0' * 400},", 1, "not inf"),
        ("burst: 50", "burst: 050", 1, "throttle, burst must be a whole number, not '050'"),
        ("api_keys:\n", f"api_keys:\n  ben: {'a' * 24}\n", 17, "the API keys 'ben' and 'ann' have the same value"),
        ("api_keys:\n  ann", "api_keys:\n  a/nn", 16, "no space and no slash, not as 'a/nn'"),
        ("api_keys:\n  ann", "api_keys:\n  a nn", 16, "no space and no slash, not as 'a nn'"),
        ("gold:", "go/ld:", 18, "a plan's name is letters, digits, - and _, not 'go/ld'"),
        ("  shop:", "  sh op:", 3, "an API's name is letters, digits, - and _, not 'sh op'"),
        (
            "plans:",
            "domains:\n  shop.example:80: {/: shop}\nplans:",
            18,
            "without a port, or '*', not 'shop.example:80'",
        ),
        ("plans:", "domains:\n  Shop.Example: {/: shop}\nplans:", 18, "in lower case"),
        ("plans:", "domains:\n  '*.example': {/: shop}\nplans:", 18, "not '*.example'"),
        (
            "plans:",
            "domains:\n  '*': {/: shop/dev}\nplans:",
            18,
            "'shop/dev' is none of the APIs and their stages: shop/prod",
        ),
        ("api_keys:", "max_keys: 100000000000000\napi_keys:", 15, "max_keys=100000000000000 takes"),
        ("api_keys:", "tables: redis\napi_keys:", 15, "tables must be memory, shared:NAME or file:FOLDER, not 'redis'"),
    ],
)
def test_errors_name_file_line_and_value(tmp_path, old, new, line, problem):
    file = tmp_path / "gateway.yaml"
    assert old in YAML
    file.write_text(YAML.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as caught:
        read_file(file)
    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("burst = 50", 'burst = "x"', 1, "throttle, burst must be a whole number, not 'x'"),
        ("status = 201", "status = 99", 7, "status must be from 200 to 599, not 99"),
        ("rate = 2.5", "rate = -2.5", 13, "not -2.5"),
        ("burst = 3,", "brust = 3,", 13, "'brust' is none of"),
        ("limit = 10", "limit = 0", 23, "limit must be a whole number from 1"),
        ("[api_keys]", "[api_keys", 17, "no TOML"),
        ("rate = 100", f"rate = 1{'0' * 400}", 1, "not inf"),
        ("limit = 10", f"limit = 1{'0' * 5000}", 24, "no TOML: Exceeds the limit"),
        ("limit = 10", f"limit = {'[' * 5000}{']' * 5000}", 24, "no TOML: maximum recursion depth"),
    ],
)
def test_errors_of_toml(tmp_path, old, new, line, problem):
    file = tmp_path / "gateway.toml"
    assert old in TOML
    file.write_text(TOML.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as caught:
        read_file(file)
    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["", "5", "[]", "a: [", "\0", "apis: {}"])
def test_files_that_are_none(tmp_path, text):
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError):
        read_file(file)


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ("function: 'nothing:here'", "function 'nothing:here' cannot be loaded"),
        ("function: ':here'", "function must be a callable or as 'package.module:name', not ':here'"),
        ("function: 'os:'", "function must be a callable or as 'package.module:name', not 'os:'"),
        ("function: 'os:sep'", "function 'os:sep' is not callable"),
        ("proxy: 'http://127.0.0.1/${stageVariables.port}'", "a variable that the stage has not"),
        ("proxy: ['http://a/x', 'http://b/y']", "the same path"),
        ("proxy: 'http://a', request: {'overwrite:header.host': x}", "the gateway itself writes this header"),
        ("proxy: 'http://a', request: {'add:header.x': x}", "mapping must be as"),
        ("proxy: 'http://a', request: {'overwrite:statuscode': '200'}", "'overwrite:statuscode' is for a response"),
        ("proxy: 'http://a', response: {'overwrite:path': /x}", "'overwrite:path' is for a request"),
        (
            "proxy: 'http://a', request: {'overwrite:path': x/$request.path.id}",
            "a path must begin with /, not as 'x/$request.path.id'",
        ),
        (
            "proxy: 'http://a', request: {'overwrite:path': /a/../b}",
            "mapping 'overwrite:path': the path has an empty or a dot segment",
        ),
        ("proxy: 'http://a', response: {'overwrite:statuscode': '999'}", "'999' is not a status"),
        ('proxy: "http://a", request: {"append:header.x": "a\\nb"}', "a control character for header x"),
        ("mock: {}, authorizer: nobody", "'nobody' is none of"),
        ("mock: {}, allow: 10.0.0.0/99", "10.0.0.0/99"),
        ("mock: {}, request: {'overwrite:header.x': y}", "a mock sees nothing of the request"),
        ("mock: {headers: {content-length: 5}}", "the gateway itself writes this header"),
        ("mock: {headers: {a name: x}}", "'overwrite:header.a name'"),
        ('mock: {headers: {x: "a\\nb"}}', "a control character for header x"),
        ("proxy: 'http://127.0.0.1/{nothing}'", "route 'GET /' has no {nothing}"),
        ("proxy: 'http://127.0.0.1/a}'", "Single '}'"),
        ("mock: {}}, 'GET /{a}': {proxy: 'http://{a}/'", "address 'http://{a}/': it has no host"),
        ("mock: {}}, 'GET /{id}': {proxy: 'http://127.0.0.1/?id={id}'", "{variables} in the path"),
        ("proxy: 'http://ann:secret@127.0.0.1/'", "it may have host, port, path and query"),
        ("proxy: 'http://127.0.0.1/#top'", "it may have host, port, path and query"),
        ("function: 'broken_beside:f'", "function 'broken_beside:f' cannot be loaded: SyntaxError: "),
        ("function: 'raising_beside:f'", "function 'raising_beside:f' cannot be loaded: RuntimeError: no database"),
        ("proxy: 'http://127.0.0.1:99999/'", "address 'http://127.0.0.1:99999/': Port out of range"),
        ("proxy: 'ws://127.0.0.1/'", "only a route of a WebSocket API leads to 'ws://127.0.0.1/'"),
        ("aggregate: {}", "aggregate must name at least one backend"),
        ("aggregate: {errors: 'http://127.0.0.1/'}", "aggregate: 'errors' is where the answer says what failed"),
        ("function: json", "function must be a callable or as 'package.module:name', not 'json'"),
        ("aggregate: {a: 'ws://127.0.0.1/'}", "only a route of a WebSocket API leads to 'ws://127.0.0.1/'"),
    ],
)
def test_the_command_checks_all(tmp_path, capsys, route, problem):
    """Also what can only be seen when all is put together; and it names file and line."""
    (tmp_path / "broken_beside.py").write_text("def f(event:\n")
    (tmp_path / "raising_beside.py").write_text("raise RuntimeError('no database')\n")
    file = tmp_path / "gateway.yaml"
    file.write_text(f"apis:\n  a:\n    stages: {{$default: {{}}}}\n    routes: {{\nGET /: {{{route}}}}}")
    assert main([str(file), "--check"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"ratelimit gateway: {file}:5: ")
    assert problem in told


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("responses:\n  TEAPOT: {}", 3, "unknown gateway response 'TEAPOT' (choose from "),
        ("access_log: /nowhere/access.log", 2, "No such file or directory: '/nowhere/access.log'"),
        ("head_timeout: 0", 2, "head_timeout must be more than 0, not 0"),
        ("max_head: -1", 2, "max_head must be more than 0, not -1"),
        ("plans: {p: {keys: [], stages: a/}}", 2, "plan 'p': 'a/' is none of the APIs and their stages"),
        ("plans: {p: {keys: [], stages: [], route_throttles: {a/$default: {}}}}", 2, "none of its stages"),
        (
            "plans:\n  p:\n    keys: []\n    stages: a/$default\n    route_throttles:\n      a/$default:\n"
            "        GET /typo: {rate: 1, burst: 1}",
            8,
            "plan 'p', stage 'a/$default': 'GET /typo' is no route of it",
        ),
        ("domains:\n  x.example: {a: a}", 3, "domain 'x.example': a base path is as '/v1', not 'a'"),
        (
            "apis: {t: {type: websocket,\nroute_selection: $context.typo,\nstages: {x: {}}}}",
            3,
            "$context has no 'typo'",
        ),
        (
            "apis: {t: {authorizers: {b: {function: 'os:abort'}},\nroutes: {GET /: {mock: {},\nauthorizer: c}},\n"
            "stages: {x: {}}}}",
            4,
            "route 'GET /': authorizer 'c' is none of b",
        ),
        ("max_keys: 5\nmax_keys: 6", 3, "'max_keys' stands twice"),
        ("max_head: !!int many", 2, "invalid literal for int() with base 10: 'many'"),
        ("plans: {p: {keys: [], stages: [], quota: {start: 2026-13-45}}}", 2, "month must be in 1..12"),
        ("? [a, b]\n: 5", 2, "a name must be text"),
        ("responses: &a {b: *a}", 2, "recursive"),
        ("throttle: " + "[" * 5_000 + "]" * 5_000, 1, "recursion"),
        ("access_log:\n  file: '-'\n  format: $context.requestID", 4, "$context has no 'requestID', but requestId, "),
        ("access_log:\n  file: '-'\n  format: $context.status-ok", 4, "$context has no 'status-ok'"),
        ("responses:\n  THROTTLED: {body: $request.cookie.x}", 3, "$request has no 'cookie.x', but header.NAME, "),
        ("responses:\n  THROTTLED: {headers: {x: '${stage.x}'}}", 3, "a variable is of context, request or stageV"),
        ("responses:\n  THROTTLED: {body: $context.authorizer.x}\nmax_head: 0", 4, "max_head"),
        ("responses:\n  THROTTLED: {body: '${context.error.messageString}'}\nmax_head: 0", 4, "max_head"),
    ],
)
def test_errors_of_the_whole(tmp_path, text, line, problem):
    file = tmp_path / "gateway.yaml"
    apis = "" if "apis:" in text else "apis: {a: {routes: {GET /: {mock: {}}}, stages: {$default: {}}}}"
    file.write_text(f"{apis}\n{text}\n")
    with pytest.raises(ConfigurationError) as caught:
        read_file(file)
    assert str(caught.value).startswith(f"{file}:{line}: ")
    assert problem in str(caught.value)


def test_the_line_of_what_stands_several_times(tmp_path):
    """It is the one below the names that the error tells."""
    file = tmp_path / "gateway.yaml"
    route = 'GET /: {proxy: "http://${stageVariables.host}/"}'
    file.write_text(f"""
apis:
  orders:
    routes:
      {route}
    stages: {{prod: {{variables: {{host: x}}}}}}
  pets:
    routes:
      {route}
    stages: {{prod: {{}}}}
domains: {{"*": {{/: pets, /orders: orders}}}}
""")
    with pytest.raises(ConfigurationError, match=r"gateway.yaml:9: pets/prod, route 'GET /': 'http.* has a variable"):
        read_file(file)


def test_a_mark_at_the_beginning(tmp_path):
    """Some editors put one before the first letter."""
    for suffix, text in ((".yaml", YAML), (".toml", TOML)):
        (tmp_path / f"gateway{suffix}").write_text(text, "utf-8-sig")
        assert read_file(tmp_path / f"gateway{suffix}") == by_hand()


def test_a_file_that_is_not_utf_8(tmp_path):
    file = tmp_path / "gateway.yaml"
    file.write_bytes(b"a: b\nc: \xff\n")
    with pytest.raises(ConfigurationError, match=r"gateway.yaml:2: .*0xff"):
        read_file(file)


def test_what_is_merged_may_be_overwritten(tmp_path):
    """And a number that stands for a text is the text as it is written."""
    file = tmp_path / "gateway.yaml"
    file.write_text("""
apis:
  a:
    routes:
      GET /: &one {mock: {body: one}, max_body: 1}
      GET /two: {<<: *one, max_body: 2}
    stages: {prod: {variables: {version: 1.10, port: 0080}}}
""")
    api = read_file(file).apis["a"]
    assert {key: (route.mock.body, route.max_body) for key, route in api.routes.items()} == {
        "GET /": ("one", 1),
        "GET /two": ("one", 2),
    }
    assert api.stages["prod"].variables == {"version": "1.10", "port": "0080"}


def test_what_is_written_loosely(tmp_path):
    """A name with nothing below it, numbers with an exponent, and a text that looks like a number of another YAML."""
    file = tmp_path / "gateway.yaml"
    file.write_text("""
throttle: {rate: 1e3, burst: 1_000}
plans:
apis:
  a:
    routes: {GET /: {mock: {}}}
    stages:
      prod:
      dev: {throttle: {rate: .5, burst: 1}, variables: {time: 12:30, octal: 0x1F, day: 2026-01-31}}
""")
    configuration = read_file(file)
    stages = configuration.apis["a"].stages
    assert configuration.throttle == Throttle(1000.0, 1000)
    assert (configuration.plans, stages["prod"]) == ({}, Stage())
    assert stages["dev"] == Stage(
        throttle=Throttle(0.5, 1), variables={"time": "12:30", "octal": "0x1F", "day": "2026-01-31"}
    )


def test_the_command_says_that_all_is_well(tmp_path, capsys):
    file = tmp_path / "gateway.yaml"
    file.write_text(YAML)
    assert main([str(file), "--check"]) == 0
    assert "1 APIs, 1 plans" in capsys.readouterr().out
    assert main([str(tmp_path / "none.yaml"), "--check"]) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("tables", "problem"), [("/proc/nowhere", "'/proc/nowhere'"), ("tables", "no table of ratelimit: it has 7 bytes")]
)
def test_tables_that_cannot_be_opened(tmp_path, monkeypatch, capsys, tables, problem, workers):
    """One line says so, and no worker is started."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "counts.tbl").write_text("rubbish")
    (tmp_path / "gateway.yaml").write_text(f"{YAML}tables: file:{tables}\n")
    assert main(["gateway.yaml", "--workers", workers]) == 1
    told = capsys.readouterr().err
    assert (told.count("\n"), problem in told) == (1, True)


def test_functions_are_looked_for_beside_the_file(tmp_path, monkeypatch):
    (tmp_path / "functions_beside.py").write_text("def here(event): ...")
    file = tmp_path / "gateway.yaml"
    file.write_text("apis: {a: {routes: {GET /: {function: 'functions_beside:here'}}, stages: {$default: {}}}}")
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert main([str(file), "--check"]) == 0


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (lambda: Proxy("http://127.0.0.1"), "to must be a list of texts, not 'http://127.0.0.1'"),
        (lambda: Plan("ann", ["shop/prod"]), "keys must be a list of texts, not 'ann'"),
        (lambda: Plan(["ann"], "shop/prod"), "stages must be a list of texts, not 'shop/prod'"),
        (lambda: Networks("10.0.0.0/8"), "networks must be a list of texts, not '10.0.0.0/8'"),
        (lambda: Route(function=5), "function must be a callable or as 'package.module:name', not 5"),
        (lambda: Throttle("5", 1), "rate must be 0 or from 1e-6 to 1e9 requests per second, not '5'"),
        (lambda: Authorizer("auth"), "function must be a callable or as 'package.module:name', not 'auth'"),
        (lambda: CalendarQuota(5, "DAY", start="2026-01-31"), "2026-01-31 (a datetime.date), not '2026-01-31'"),
    ],
)
def test_what_python_may_take_for_something_else(wrong, problem):
    """A text is a list of letters, too, and whatever is not called before the first request would pass until then."""
    with pytest.raises(ValueError, match=re.escape(problem)):
        wrong()


def test_a_key_in_two_plans_for_one_stage(tmp_path):
    configuration = by_hand()
    plans = {"gold": configuration.plans["gold"], "free": Plan(["ann"], ["shop/prod"])}
    with pytest.raises(ValueError, match="key 'ann' is in the plans 'gold' and 'free' for one stage"):
        Configuration(apis=configuration.apis, api_keys=configuration.api_keys, plans=plans)


def test_snapshots_do_not_follow_the_routes():
    """A deployment is what the routes were; rollback goes one step back each time."""
    api = Api(routes={"GET /": Route(mock=Mock(body="one"))}, stages={"prod": Stage()})
    api.deploy("one", "prod")
    api.routes["GET /"] = Route(mock=Mock(body="two"))
    api.deploy("two", "prod")
    stage = api.stages["prod"]
    assert [api.routes_of(name)["GET /"].mock.body for name in ("one", "two")] == ["one", "two"]
    api.routes["GET /"].mock.body = "three"
    assert api.routes_of("two")["GET /"].mock.body == "two"
    stage.rollback()
    assert stage.deployment == "one"
    stage.rollback()
    assert stage.deployment is None
    with pytest.raises(ValueError, match="'three' is none of the deployments: one, two"):
        api.routes_of("three")
    with pytest.raises(ValueError, match="'dev' is none of the stages: prod"):
        api.deploy("three", "dev")
    assert "three" not in api.deployments
    with pytest.raises(ValueError, match="no other deployment"):
        stage.rollback()
