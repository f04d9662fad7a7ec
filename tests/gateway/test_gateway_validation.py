"""Requests that are checked before their integration."""

import re

import pytest
from gateway_harness import App, posted

from ratelimit.gateway import ConfigurationError

OWN = """
apis:
  shop:
    type: rest
    models:
      Pet:
        type: object
        required: [name, kind]
        properties: {name: {type: string, minLength: 2}, kind: {enum: [cat, dog]}, toys: {type: array, items: {$ref: Toy}}}
      Toy: {type: object, additionalProperties: false, properties: {size: {type: number, minimum: 1}}}
    responses: {BAD_REQUEST_BODY: {body: '{"why": "$context.error.validationErrorString"}'}}
    routes:
      GET /pets:
        mock: {body: pets}
        validate: {parameters: [querystring.page, header.x-tenant]}
      POST /pets:
        mock: {body: made}
        validate: {body: {application/json: {$ref: Pet}}}
    stages: {prod: }
"""
GOOD = {"name": "Tom", "kind": "cat", "toys": [{"size": 3}]}


@pytest.fixture
def shop(read):
    return App(read(OWN).configuration)


@pytest.mark.parametrize(
    ("query", "headers", "missing"),
    [
        ("", {}, "[x-tenant, page]"),
        ("page=1", {}, "[x-tenant]"),
        ("page=", {"x-tenant": "a"}, "[page]"),
        ("page=%20", {"X-Tenant": "a"}, "[page]"),
        ("PAGE=1", {"x-tenant": " "}, "[x-tenant, page]"),
        ("page=&page=2", {"x-tenant": "a"}, ""),
    ],
)
def test_required_parameters_are_there_and_not_blank(shop, query, headers, missing):
    answer = shop.get(f"/prod/pets?{query}", headers=headers)
    if not missing:
        assert (answer.status_code, answer.text) == (200, "pets")
        return
    assert answer.status_code == 400
    assert answer.json() == {"message": f"Missing required request parameters: {missing}"}
    assert answer.headers["x-amzn-errortype"] == "BadRequestException"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (GOOD, ""),
        ({"toys": []}, '[object has missing required properties (["kind","name"])]'),
        (b"", '[object has missing required properties (["kind","name"])]'),
        ([], '[instance type (array) does not match any allowed primitive type (allowed: ["object"])]'),
        ({**GOOD, "name": "T"}, '[string "T" is too short (length: 1, required minimum: 2)]'),
        ({**GOOD, "kind": "cow"}, '[instance value ("cow") not found in enum (possible values: ["cat","dog"])]'),
        (
            {**GOOD, "toys": [{"size": 0, "b": 1, "a": 1}]},
            '[object instance has properties which are not allowed by the schema: ["a","b"], '
            "numeric instance is lower than the required minimum (minimum: 1, found: 0)]",
        ),
        (
            {**GOOD, "toys": [{"size": "big"}]},
            '[instance type (string) does not match any allowed primitive type (allowed: ["integer","number"])]',
        ),
        (b'{"name": NaN}', "[the body is not JSON: NaN is not a value]"),
        (b"{'name'}", "[the body is not JSON: "),
        (b"\xff\xfe\xff", "[the body is not JSON: "),
        (b"[" * 100_000, "[the body is nested too deeply]"),
        (b"9" * 10_000, "[the body is not JSON: "),
    ],
)
def test_bodies_fit_their_schema(shop, body, why):
    answer = posted(shop, body, content_type="application/json; charset=utf-8")
    assert (answer.status_code, answer.text) == (200, "made") if not why else answer.status_code == 400
    if why:
        assert answer.json()["why"].startswith(why.removesuffix("]"))


def test_a_body_of_a_type_without_a_schema_is_not_checked(shop):
    assert posted(shop, b"a,b", content_type="text/csv").status_code == 200
    assert posted(shop, b"a,b").status_code == 400  # JSON is the default


def test_a_second_content_type_does_not_get_around_the_schema(shop):
    answer = shop(
        "POST", "/prod/pets", content=b"5", headers=[("content-type", "application/json"), ("content-type", "a/b")]
    )
    assert answer.json() == {"message": "Bad Request"}


def test_a_schema_may_be_that_of_all_other_types(read):
    app = App(read(OWN.replace("application/json: {$ref: Pet}", "$default: {$ref: Pet}, Text/CSV: {}")).configuration)
    assert [posted(app, b"5", content_type=kind).status_code for kind in ("a/b", "text/csv")] == [400, 200]


def test_a_request_that_is_not_valid_has_spent_its_tokens(read):
    app = App(read(OWN.replace("prod: }", "prod: {throttle: {rate: 1, burst: 2}}}")).configuration)
    assert [posted(app, b"5").status_code for _ in range(3)] == [400, 400, 429]


def test_only_a_client_that_may_pass_learns_what_its_request_lacks(read):
    app = App(read(OWN.replace("mock: {body: made}", "mock: {body: made}\n        deny: 192.0.2.0/24")).configuration)
    assert posted(app, b"5").status_code == 403


def test_the_log_has_the_reason(read, tmp_path):
    app = App(
        read(OWN + f"access_log: {{file: {tmp_path}/log, format: $context.error.validationErrorString}}").configuration
    )
    assert posted(app, GOOD).status_code == 200
    app.get("/prod/pets?page=1")
    assert (tmp_path / "log").read_text().splitlines() == ["-", "Missing required request parameters: [x-tenant]"]


def test_a_backend_gets_the_body_that_was_checked(read, backend):
    async def echo(head, reader, writer):
        body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    text = OWN.replace("mock: {body: made}", f'proxy: "{backend(echo).url}/"')
    large = {**GOOD, "toys": [{"size": i + 1} for i in range(20_000)]}
    for body in (GOOD, large):
        assert posted(App(read(text).configuration), body).json() == body


def test_many_problems_and_long_values_make_a_short_answer(shop):
    body = {**GOOD, "toys": [{"size": "x" * 1000, str(i): i} for i in range(10_000)]}
    assert len(posted(shop, body).text) < 6_000


@pytest.mark.slow
def test_equal_elements_are_found_without_comparing_each_pair(read):
    schema = "{type: array, uniqueItems: true}"
    app = App(read(OWN.replace("application/json: {$ref: Pet}", f"application/json: {schema}")).configuration)
    assert posted(app, [{"a": i} for i in range(100_000)]).status_code == 200
    assert posted(app, [{"a": 1, "b": 2}, {"b": 2, "a": 1}]).json() == {
        "why": "[array must not contain duplicate elements]"
    }


def test_a_pattern_ends_at_the_end(read):
    app = App(read(OWN.replace("minLength: 2", "pattern: '^[a-z$]+$'")).configuration)
    names = ("tom", "to$", "tom\n", "Tom")
    assert [posted(app, {**GOOD, "name": name}).status_code for name in names] == [200, 200, 400, 400]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("{$ref: Toy}", "{$ref: Toys}", "apis.shop.models: expected the name of a model, got $ref 'Toys'"),
        ("{$ref: Pet}}", "{$ref: 'http://example.com/pet'}}", "expected the name of a model, got $ref 'http://example"),
        ("{$ref: Pet}}", "5}", "expected a JSON Schema, got 5"),
        ("minLength: 2", "minLength: two", "expected a JSON Schema of draft 4: properties.name.minLength 'two' is not"),
        ("minLength: 2", "pattern: '['", "expected a regular expression, got '['"),
        ("minLength: 2", "patternProperties: {'(': {}}", "expected a regular expression, got '('"),
        ("querystring.page", "path.page", "expected a parameter such as"),
        ("application/json:", "json:", "expected a content type such as"),
        ("{parameters: [querystring.page, header.x-tenant]}", "{}", "expected parameters or body"),
        ("type: rest", "type: http", "apis.shop.models: expected only in an API of type rest, not http"),
        ("type: rest", "type: http", "validate: expected only in an API of type rest, not http"),
    ],
)
def test_wrong_settings_are_refused(read, old, new, problem):
    with pytest.raises(ConfigurationError, match=re.escape(problem)):
        App(read(OWN.replace(old, new, 1)).configuration)
