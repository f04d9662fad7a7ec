"""A configuration and its folder do nothing that the operator did not mean."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import websockets
from fronts import ask
from gateway_harness import App
from ports import free_port, until_open
from waiting import PATIENCE
from websockets.sync.client import connect

from ratelimit.gateway import Api, Authorizer, Configuration, Mock, Route, Stage, read_file

HELLO = "apis: {a: {routes: {GET /: {function: 'own:hello'}}, stages: {$default: {}}}}"


def check(file, *options):
    """`ratelimit gateway --check`, run in the folder of the file."""
    command = [sys.executable, "-m", "ratelimit", "gateway", "--check", str(file), *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(one for one in sys.path if one)}
    return subprocess.run(command, capture_output=True, text=True, cwd=file.parent, env=environment, timeout=PATIENCE)


@pytest.mark.parametrize("module", ["prometheus_client", "opentelemetry", "yaml", "json", "uvicorn"])
def test_a_module_beside_the_configuration_replaces_no_library(tmp_path, module):
    """The folder is searched last, also where the command runs in it: only other modules are imported from it."""
    (tmp_path / f"{module}.py").write_text("open(__file__ + '.imported', 'w').close()\nraise SystemExit('imported')\n")
    (tmp_path / "own.py").write_text("def hello(event):\n    return 'hello'\n")
    (tmp_path / "gateway.yaml").write_text(HELLO)
    port, command = free_port(), Path(sys.executable).with_name("ratelimit")
    process = subprocess.Popen([command, "gateway", "gateway.yaml", "--port", str(port)], cwd=tmp_path)
    try:
        until_open(port, process)
        assert httpx.get(f"http://127.0.0.1:{port}").text == "hello"
        assert b"ratelimit_gateway" in httpx.get(f"http://127.0.0.1:{port}/_gateway/metrics").content
    finally:
        process.terminate()
        process.wait(PATIENCE)
    assert not list(tmp_path.glob("*.imported"))


def test_a_gateway_as_a_module_in_the_folder_replaces_no_library_of_its_own(tmp_path):
    """Python itself puts the working directory first for `-m`; the command undoes that before it imports the gateway."""
    (tmp_path / "prometheus_client.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "own.py").write_text("def hello(event):\n    return 'hello'\n")
    (tmp_path / "gateway.yaml").write_text(HELLO)
    command = [sys.executable, "-m", "ratelimit", "gateway", "--check", "gateway.yaml"]
    assert subprocess.run(command, cwd=tmp_path, timeout=PATIENCE).returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True))
    ],
)
def test_aliases_expand_within_bounds(tmp_path, text):
    """Nested aliases of a few hundred bytes are refused at once, with a short text."""
    file = tmp_path / "bomb.yaml"
    file.write_text(f"{text}apis: *h\n")
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9,) * 2); resource.setrlimit(resource.RLIMIT_CPU, (30, 30))\n"
    limited += "from ratelimit.__main__ import main; sys.argv = ['ratelimit', 'gateway', '--check', sys.argv[1]]; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", limited, str(file)], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert 0 < len(done.stderr) < 5_000


# --- a catch-all beside guarded routes

GUARDED = """
apis:
  a:
    routes:
      ANY /admin: {deny: 0.0.0.0/0, mock: {body: admin}}
      %s
    stages: {$default: {}}
"""


@pytest.mark.parametrize("route", ["$default: {mock: {}}", "ANY /{proxy+}: {mock: {}}", "GET /{all+}: {mock: {}}"])
def test_check_warns_of_a_catch_all_beside_guarded_routes(tmp_path, route):
    file = tmp_path / "gateway.yaml"
    file.write_text(GUARDED % route)
    done = check(file)
    assert (done.returncode, "warning" in done.stderr) == (0, True)
    assert "'ANY /admin'" in done.stderr


@pytest.mark.parametrize(
    "route", ["$default: {deny: 0.0.0.0/0, mock: {}}", "ANY /other/{proxy+}: {mock: {}}", "GET /x: {mock: {}}"]
)
def test_check_does_not_warn_where_nothing_is_unguarded(tmp_path, route):
    file = tmp_path / "gateway.yaml"
    file.write_text(GUARDED % route)
    assert "guard" not in check(file).stderr


def test_parameters_of_a_path_lead_to_no_other_route(serve, recorder):
    """A backend may cut `;x=1` off: a path must lead to the same route with and without it."""
    server = serve(f"""
apis:
  a:
    routes:
      ANY /admin: {{deny: 0.0.0.0/0, mock: {{}}}}
      ANY /items/{{id}}: {{proxy: "{recorder.url}"}}
      $default: {{proxy: "{recorder.url}"}}
    stages: {{$default: {{}}, prod: {{}}}}
""")
    for target in (
        "/admin;x=1",
        "/admin;",
        "/admin%3Bx",
        "/prod;x/admin",
        "/prod/admin;y",
        "/;x/admin",
        "/items;a=b/1;c",
    ):
        status = ask(server.port, f"GET {target} HTTP/1.1", "Host: a")[0]
        assert status in (400, 403), target
    assert recorder.seen == []
    for target in ("/items/1;color=red", "/other;a=b", "/other/x;y"):
        assert ask(server.port, f"GET {target} HTTP/1.1", "Host: a")[0] == 200
        assert recorder.seen[-1]["target"] == target


# --- room for keys


@pytest.mark.parametrize(("keys", "room", "told"), [(40, 16, True), (40, 100_000, False)])
def test_check_compares_keys_with_room(tmp_path, keys, room, told):
    names = [f"k{i}" for i in range(keys)]
    file = tmp_path / "gateway.yaml"
    file.write_text(f"""
max_keys: {room}
apis: {{a: {{routes: {{GET /: {{api_key_required: true, mock: {{}}}}}}, stages: {{prod: {{}}}}}}}}
api_keys: {{{", ".join(f"{name}: {name}{'x' * 20}" for name in names)}}}
plans: {{p: {{keys: [{", ".join(names)}], stages: [a/prod], throttle: {{rate: 1, burst: 2}}}}}}
""")
    done = check(file)
    assert ("'plan'" in done.stderr) == told
    assert done.returncode == 0


# --- answers of authorizers


def test_an_authorizers_answer_is_used_only_where_it_was_given_for():
    """With the names of what it depends on, an answer for one path or method is not used for another."""
    asked = []

    def authorizer(event):
        asked.append((event["requestContext"]["http"]["method"], event["rawPath"]))
        return asked[-1] == ("GET", "/users/carl")

    for cache_key, allowed in ((["$context.httpMethod", "$context.path"], [200, 403, 403, 200]), ([], [200] * 4)):
        asked.clear()
        api = Api(
            routes={"ANY /users/{name}": Route(mock=Mock(), authorizer="own")},
            authorizers={"own": Authorizer(authorizer, cache_key=cache_key)},
            stages={"$default": Stage()},
        )
        request = App(Configuration({"a": api}))
        found = [
            request(method, path, headers={"authorization": "carl"}).status_code
            for method, path in (
                ("GET", "/users/carl"),
                ("GET", "/users/bob"),
                ("DELETE", "/users/carl"),
                ("GET", "/users/carl"),
            )
        ]
        assert found == allowed
        assert len(asked) == len(set(asked))


def test_answers_are_kept_without_the_identities():
    """A client may send any number of long credentials."""
    api = Api(
        routes={"GET /": Route(mock=Mock(), authorizer="own")},
        authorizers={"own": Authorizer(lambda event: True)},
        stages={"$default": Stage()},
    )
    app = App(Configuration({"a": api}))
    for number in range(5):
        assert app.get("/", headers={"authorization": f"{number}" * 60_000}).status_code == 200
    variant = app.gateway.site.apis["a"].variants["$default", False]
    assert [len(label) for label in variant.routes["GET /"].guard.authorizer._answers] == [32] * 5


# --- origins of WebSockets


def test_only_pages_of_the_configured_origins_open_a_websocket(serve):
    server = serve("""
apis:
  chat:
    type: websocket
    origins: [https://shop.example, "http://localhost:3000"]
    routes: {$default: {mock: {body: here}}}
    stages: {prod: {}}
""")
    url = f"ws://127.0.0.1:{server.port}/prod"
    for origin in ("https://shop.example", "HTTPS://Shop.Example", "http://localhost:3000", None):
        with connect(url, origin=origin) as client:
            client.send("x")
            assert client.recv(timeout=PATIENCE) == "here"
    for origin in ("https://evil.example", "http://shop.example", "null", "https://shop.example.evil", ""):
        with pytest.raises(websockets.InvalidStatus) as caught:
            connect(url, additional_headers={"Origin": origin})
        assert caught.value.response.status_code == 403


@pytest.mark.parametrize("field", ["allow: 10.0.0.0/8", "deny: 0.0.0.0/0", "authorizer: own", "api_key_required: true"])
def test_guards_of_a_message_are_refused_when_loading(tmp_path, field):
    """They are checked at $connect alone: elsewhere they would be ignored."""
    (tmp_path / "gateway.yaml").write_text(f"""
apis:
  chat:
    type: websocket
    authorizers: {{own: {{function: "json:loads"}}}}
    routes: {{say: {{{field}, mock: {{}}}}}}
    stages: {{prod: {{}}}}
""")
    with pytest.raises(ValueError, match=field.partition(":")[0]):
        read_file(tmp_path / "gateway.yaml")
