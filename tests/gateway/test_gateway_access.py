"""Authorizers with policies and several identity sources, JSON Web Tokens, and pages of other sites.

In one file: the tests have the guarded API in common.
"""

import asyncio
import base64
import gc
import json
from types import FunctionType, ModuleType

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from gateway_harness import App
from gateway_looks import ask, rsa_key, write_keys

from ratelimit.gateway import (
    Api,
    Authorizer,
    ClientThrottle,
    Configuration,
    ConfigurationError,
    Cors,
    Gateway,
    Jwt,
    Mock,
    Route,
    Stage,
    Throttle,
)
from ratelimit.gateway.access.jwt import RETRY, KeySet
from ratelimit.gateway.access.policies import decide

ARN = "arn:aws:execute-api:us-east-1:123456789012:shop/prod/GET/pets/7"
ISSUER = "https://issuer.example"


def statement(effect="Allow", resource="*", action="execute-api:Invoke", **more):
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


def guarded(function=None, kind="rest", stage="prod", paths=("/a", "/b"), scopes=(), cors=None, **fields):
    """A gateway whose routes show what their authorizer found."""
    body = "$context.authorizer.principalId $context.authorizer.claims.sub"
    given = Authorizer(function, **fields)
    routes = {f"GET {path}": Route(mock=Mock(body=body), authorizer="own", scopes=scopes) for path in paths}
    return App(
        Configuration(
            {"shop": Api(type=kind, routes=routes, authorizers={"own": given}, stages={stage: Stage()}, cors=cors)}
        )
    )


# --- policies


@pytest.mark.parametrize(
    ("statements", "allowed"),
    [
        ([], False),
        ([statement()], True),
        ([statement(resource=ARN)], True),
        ([statement(resource="arn:aws:execute-api:*:*:shop/prod/*/pets/*")], True),
        ([statement(resource="arn:aws:execute-api:*:*:shop/prod/POST/*")], False),
        ([statement(resource=[f"{ARN}7", ARN[:-1] + "?"])], True),
        ([statement(action="*")], True),
        ([statement(action=["s3:*", "Execute-API:*"])], True),
        ([statement(action="s3:GetObject")], False),
        ([statement(), statement("Deny", f"{ARN[:-1]}*")], False),
        ([statement("Deny", "*pets/8"), statement()], True),
        ([statement(Condition={"IpAddress": {}})], False),
        ([statement(), statement("Deny", Condition={"IpAddress": {}})], False),
        ([{"Effect": "Allow", "NotAction": "s3:*", "NotResource": "*POST*"}], True),
        ([{"Effect": "Allow", "Action": "*", "NotResource": "*pets*"}], False),
        ([statement(resource="[a-z]*")], False),
        ([statement(resource="*" * 5_000 + "x")], False),
    ],
)
def test_policy_allows_or_denies(statements, allowed):
    assert bool(decide(policy(*statements), ARN, "192.0.2.1")) is allowed


@pytest.mark.parametrize(
    "wrong", [None, "Allow", {}, {"Statement": [5]}, policy({"Effect": "allow"}), policy(statement(resource=5))]
)
def test_policies_that_cannot_be_read(wrong):
    with pytest.raises(ValueError, match="expected"):
        decide(wrong, ARN, "192.0.2.1")
    asked = []
    app = guarded(lambda event: asked.append(event) or {"principalId": "ann", "policyDocument": wrong})
    assert [app.get("/prod/a", headers={"authorization": "x"}).status_code for _ in range(2)] == [500] * 2
    assert len(asked) == 1


def test_policy_is_kept_for_all_routes_and_decides_for_each():
    asked = []

    def authorize(event, context):
        asked.append(event["methodArn"])
        return {"principalId": "ann", "policyDocument": policy(statement(resource=event["methodArn"]))}

    app = guarded(authorize)
    answers = [app.get(path, headers={"authorization": "x"}) for path in ("/prod/a", "/prod/b", "/prod/a")]
    assert [answer.status_code for answer in answers] == [200, 403, 200]
    assert answers[0].text == "ann "
    assert asked == ["arn:aws:execute-api:us-east-1:123456789012:shop/prod/GET/a"]


# --- events and identities


def test_event_of_a_token_authorizer():
    events = []
    app = guarded(lambda event: not events.append(event), event="token", identity="X-Token", pattern="good-[0-9]+")
    found = [
        app.get("/prod/a", headers={"x-token": token}).status_code for token in ("good-1", "good-", "bad good-1", "")
    ]
    assert found == [200, 401, 401, 401]
    assert events == [{"type": "TOKEN", "authorizationToken": "good-1", "methodArn": ARN.replace("pets/7", "a")}]


@pytest.mark.parametrize(("kind", "form"), [("rest", None), ("http", "1.0"), ("http", None)])
def test_event_of_a_request_authorizer(kind, form):
    events = []
    identity = ["$request.header.X-Who", "$request.querystring.key"]
    app = guarded(lambda event: not events.append(event), kind, event=form, identity=identity)
    headers = {"x-who": "ann"}
    assert [
        app.get(f"/prod/a{query}", headers=headers).status_code for query in ("", "?key=1", "?key=1", "?key=2")
    ] == [401, 200, 200, 200]
    event, other = events
    assert (event["type"], other["queryStringParameters"]) == ("REQUEST", {"key": "2"})
    if (kind, form) == ("http", None):
        assert (event["version"], event["identitySource"]) == ("2.0", ["ann", "1"])
        assert event["routeArn"].endswith(":shop/prod/GET/a")
        return
    assert event["methodArn"].endswith(":shop/prod/GET/a")
    assert (event["headers"]["X-Who"], event["httpMethod"], event["requestContext"]["stage"]) == ("ann", "GET", "prod")
    assert event.get("identitySource") == ("ann,1" if kind == "http" else None)


def test_authorizer_without_identity_is_asked_each_time():
    asked = []
    app = guarded(lambda event: not asked.append(event), identity=[], ttl=0)
    assert (app.statuses("/prod/a", 2), len(asked)) == ([200, 200], 2)
    for ttl in (300, 0.5):
        with pytest.raises(ConfigurationError, match=f"ttl: expected 0 without an identity.* got {ttl}"):
            Authorizer(print, identity=[], ttl=ttl)


@pytest.mark.parametrize("name", ["header.tenant", "querystring.tenant"])
def test_what_an_answer_depends_on_may_not_occur_twice(name):
    """A function might read another one of the two."""
    app = guarded(lambda event: True, cache_key=[f"$request.{name}"])
    for tenants in ("a", "ab", "aa", "ba"):
        path = "/prod/a?" + "&".join(f"tenant={one}" for one in tenants)
        headers = [("authorization", "x"), *(("tenant", one) for one in tenants)]
        assert app.get(path, headers=headers).status_code == (200 if len(tenants) == 1 else 400)


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (RuntimeError("Unauthorized"), 401),
        (RuntimeError("down"), 500),
        ("yes", 500),
        ({"isAuthorized": "yes"}, 500),
        (True, 200),
    ],
)
def test_results_of_an_authorizer(result, status):
    def authorize(event):
        if isinstance(result, Exception):
            raise result
        return result

    assert guarded(authorize).get("/prod/a", headers={"authorization": "x"}).status_code == status


# --- JSON Web Tokens


@pytest.fixture(scope="module")
def keys():
    """Two RSA keys; the first one is the issuer's."""
    return [rsa.generate_private_key(65537, 2048) for _ in range(2)]


@pytest.fixture
def jwks(keys, tmp_path):
    file = tmp_path / "keys.json"
    write_keys(file, keys[0])
    return file


@pytest.fixture
def tokens(jwks):
    """A gateway that accepts tokens of the issuer, and a function that makes one."""
    return guarded(
        jwt=Jwt(ISSUER, audience=["shop"], keys=str(jwks)), kind="http", stage="$default", scopes=["read", "all"]
    )


def token(key, kid="one", algorithm="RS256", **claims):
    claims = {"iss": ISSUER, "aud": "shop", "sub": "ann", "exp": 4e9, "scope": "read x", **claims}
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None}, key, algorithm, {"kid": kid}
    )


def status(app, text, header="authorization"):
    return app.get("/a", headers={header: text}).status_code


def test_accepts_a_valid_token_in_each_form(tokens, keys):
    good = token(keys[0])
    for _ in range(2):
        answer = tokens.get("/a", headers={"authorization": f"Bearer {good}"})
        assert (answer.status_code, answer.text) == (200, " ann")
    assert status(tokens, good) == 200
    assert status(tokens, f"Bearer {token(keys[0], aud=['other', 'shop'])}") == 200
    assert status(tokens, f"Bearer {token(keys[0], aud=None, client_id='shop')}") == 200
    assert status(tokens, f"Bearer {token(keys[0], scope=None, scp=['all'])}") == 200
    assert status(tokens, f"Bearer {token(keys[0], scope='write')}") == 403


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"}, {"iss": None}, {"aud": "other"}, {"aud": None}, {"exp": 1}, {"exp": None},
        {"exp": "4e9"}, {"nbf": 4e9}, {"iat": 4e9}, {"exp": True}, {"nbf": "x"}, {"scope": 5}, {"scope": {"read": 1}},
        {"aud": {"shop": 1}}, {"aud": [{}]},
    ],
)  # fmt: skip
def test_refuses_wrong_claims(tokens, keys, claims):
    answer = tokens.get("/a", headers={"authorization": f"Bearer {token(keys[0], **claims)}"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')


def test_refuses_forged_and_malformed_tokens(tokens, keys, jwks):
    good = token(keys[0])
    head, body, signature = good.split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT","kid":"one"}').rstrip(b"=").decode()
    other = json.dumps(json.loads(base64.urlsafe_b64decode(body + "==")) | {"sub": "ben"}).encode()
    public = jwks.read_text()
    wrong = [
        token(keys[1]), token(keys[0], kid="two"), f"{none}.{body}.", f"{none}.{body}.{signature}",
        f"{head}.{base64.urlsafe_b64encode(other).rstrip(b'=').decode()}.{signature}", f"{head}.{body}", f"{head}.{body}.",
        token(public * 2, algorithm="HS256"), "x", "a.b.c", "." * 2, f"{head}.{body}.{signature[:-4]}AAAA", good + "A" * 20_000,
    ]  # fmt: skip
    assert {status(tokens, f"Bearer {one}") for one in wrong} == {401}
    assert status(tokens, f"Basic {good}") == 401
    assert tokens.get("/a").status_code == 401


@pytest.mark.parametrize(("use", "code"), [("sig", 200), ("enc", 401)])
def test_key_of_encryption_verifies_no_signature(tokens, keys, jwks, use, code):
    (key,) = json.loads(jwks.read_text())["keys"]
    jwks.write_text(json.dumps({"keys": [{**key, "use": use}]}))
    assert status(tokens, f"Bearer {token(keys[0])}") == code


def test_refuses_tokens_while_the_keys_cannot_be_read(keys, tmp_path):
    app = guarded(jwt=Jwt(ISSUER, keys=str(tmp_path / "none.json")), kind="http", stage="$default")
    assert status(app, f"Bearer {token(keys[0])}") == 401


def reload(app):
    asyncio.run(app.gateway.load(app.gateway.site.configuration))


def test_keys_hold_over_a_reload_while_the_issuer_is_away(tokens, keys, jwks):
    good = f"Bearer {token(keys[0])}"
    assert status(tokens, good) == 200
    jwks.unlink()
    reload(tokens)
    assert status(tokens, good) == 200


def test_reload_reads_keys_again(tokens, keys, jwks):
    """Neither the former keys nor the tokens that they verified are accepted then."""
    former, later = (f"Bearer {token(key)}" for key in keys)
    assert [status(tokens, former), status(tokens, later)] == [200, 401]
    write_keys(jwks, keys[1])
    reload(tokens)
    assert [status(tokens, former), status(tokens, later)] == [401, 200]


def test_keys_that_were_asked_for_before_a_reload_are_read_again(keys, jwks, monkeypatch):
    key_set = KeySet(str(jwks), ISSUER)

    async def scenario():
        load = key_set._load

        def reloaded():
            content = load()
            key_set.expire()
            write_keys(jwks, keys[1])
            return content

        with monkeypatch.context() as patch:
            patch.setattr(key_set, "_load", reloaded)
            before = await key_set.find("one")
        return before, await key_set.find("one")

    before, after = asyncio.run(scenario())
    assert before.public_numbers() != after.public_numbers()


def test_reads_missing_keys_again_after_a_while(jwks, tmp_path):
    now, file = [0.0], tmp_path / "later.json"
    key_set = KeySet(str(file), ISSUER, clock=lambda: now[0])

    async def scenario():
        found = [await key_set.find("one")]
        file.write_text(jwks.read_text())
        found.append(await key_set.find("one"))
        now[0] += RETRY
        return [*found, await key_set.find("one")]

    missing, too_early, key = asyncio.run(scenario())
    assert (missing, too_early) == (None, None)
    assert key is not None


# --- pages of other sites

CORS = Cors(["https://shop.example", "https://*.example"], ["GET", "POST"], ["x-a"], ["x-b"], 600, True)
PAGE = {"origin": "https://shop.example"}
ASKING = {**PAGE, "access-control-request-method": "GET"}


def cors_app(cors=CORS, **fields):
    routes = {
        "GET /": Route(mock=Mock(headers={"Access-Control-Allow-Origin": "https://other.example"}), **fields),
        "OPTIONS /own": Route(mock=Mock(status=207)),
    }
    stage = Stage(route_throttles={"GET /": Throttle(0.001, 1)})
    return App(Configuration({"a": Api(routes=routes, cors=cors, stages={"$default": stage})}))


def test_preflights_spend_no_tokens():
    app = cors_app(authorizer=None)
    for path in ("/", "/", "/", "/nowhere"):
        answer = app("OPTIONS", path, headers=ASKING)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert answer.headers["access-control-allow-methods"] == "GET,POST"
        assert answer.headers["access-control-allow-headers"] == "x-a"
        assert answer.headers["access-control-max-age"] == "600"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["vary"] == "Origin"
        assert "ratelimit" not in answer.headers
    assert app.get("/").status_code == 200
    assert app("OPTIONS", "/own").status_code == 207  # it is not a preflight


def test_answers_and_refusals_can_be_read():
    app = cors_app()
    for path, code in (("/", 200), ("/", 429), ("/nowhere", 404)):
        answer = app.get(path, headers=PAGE)
        assert answer.status_code == code
        assert answer.headers.get_list("access-control-allow-origin") == ["https://shop.example"]
        assert answer.headers["access-control-expose-headers"] == "x-b"
    answer = app.get("/")
    assert answer.headers["vary"] == "Origin"  # a cache must not give it to a page
    assert "access-control-expose-headers" not in answer.headers


def test_all_pages_are_not_allowed_with_credentials():
    with pytest.raises(ConfigurationError, match="allow_credentials: expected false with the origin"):
        Cors(["https://shop.example", "*"], allow_credentials=True)
    answer = cors_app(Cors(["*"])).get("/")
    assert "vary" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (["*"], "https://any.example", "*"),
        (["https://*.example"], "https://a.example", "https://a.example"),
        (["https://*.example"], "https://example", None),
        (["https://shop.example"], "HTTPS://SHOP.example", "HTTPS://SHOP.example"),
        (["https://shop.example"], "https://shop.example.evil", None),
        (["https://[a-z].example"], "https://a.example", None),
        (["https://shop.example"], "null", None),
        (["https://shop.example"], "\xff", None),
        (["https://*.example"], f"https://{'a' * 500}.example", None),
    ],
)
def test_allows_an_origin_by_its_pattern(origins, origin, allowed):
    app = cors_app(Cors(origins))
    for method, headers in (("GET", {}), ("OPTIONS", {"access-control-request-method": "\x7f?"})):
        answer = app(
            method,
            "/",
            headers={b"origin": origin.encode("latin-1"), **{k.encode(): v.encode() for k, v in headers.items()}},
        )
        assert answer.headers.get("access-control-allow-origin") == allowed


# --- what is kept


def texts_within(root):
    """Yield all texts and bytes that an object refers to, also through others, except for code and modules."""
    seen, waiting = set(), [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type | ModuleType | FunctionType):
            continue
        seen.add(id(one))
        if isinstance(one, str | bytes | bytearray):
            yield one
        else:
            waiting += gc.get_referents(one)


def test_no_credentials_are_kept():
    """Of tokens, of identities and of clients only digests are in memory after a request."""
    secret = "hidden" * 5

    def check(event):
        return {"isAuthorized": True, "context": {"user": "me"}}

    authorizers = {"own": Authorizer(check, identity=["authorization", "$request.querystring.t", "x-api-key"])}
    throttle = ClientThrottle(1e6, 100, by=["$request.header.authorization", "$request.header.x-api-key"])
    routes = {"GET /": Route(mock=Mock(), authorizer="own")}
    stages = {"$default": Stage(client_throttle=throttle)}
    gateway = Gateway(Configuration(apis={"a": Api(routes=routes, stages=stages, authorizers=authorizers)}))
    headers = [(b"authorization", secret), (b"x-api-key", secret + "x")]
    status, *_ = asyncio.run(ask(gateway, headers=headers, query=f"t={secret}y".encode()))
    assert status == 200
    authorizer = gateway.site.apis["a"].variants["$default", False].routes["GET /"].guard.authorizer
    assert "me" in texts_within(authorizer)  # the answer is kept
    kept = [one for one in texts_within(gateway) if (secret if isinstance(one, str) else secret.encode()) in one]
    assert kept == []


def test_tokens_are_kept_as_digests(tmp_path):
    key = rsa_key()
    write_keys(tmp_path / "jwks.json", key)
    claims = {"iss": "https://me", "exp": 4e9, "sub": "someone"}
    token = jwt.encode(claims, key, "RS256", {"kid": "one"})
    tokens = Authorizer(jwt=Jwt("https://me", keys=str(tmp_path / "jwks.json")))
    seen = []

    def change(event):
        """Change what it gets, as a handler may."""
        mine = event["requestContext"]["authorizer"]["jwt"]
        seen.append(json.dumps(mine, sort_keys=True))
        mine["claims"].clear()
        mine["scopes"].append("all")

    routes = {"GET /": Route(function=change, authorizer="tokens")}
    api = Api(routes=routes, stages={"$default": Stage()}, authorizers={"tokens": tokens})
    gateway = Gateway(Configuration(apis={"a": api}))
    for _ in range(3):
        assert asyncio.run(ask(gateway, headers=[(b"authorization", f"Bearer {token}")]))[0] == 200
    assert len(seen) == 3
    assert len(set(seen)) == 1
    authorizer = gateway.site.apis["a"].variants["$default", False].routes["GET /"].guard.authorizer
    assert "someone" in texts_within(authorizer)  # the claims are kept
    *_, signature = token.split(".")
    kept = [one for one in texts_within(gateway) if (signature if isinstance(one, str) else signature.encode()) in one]
    assert kept == []
