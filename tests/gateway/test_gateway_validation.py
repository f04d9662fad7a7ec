"""Requests that are checked before their integration: by our own file, and by the validators of templates."""

import json
import re
from types import SimpleNamespace

import pytest
from gateway_harness import App

from ratelimit.gateway import ConfigurationError
from ratelimit.gateway.config.load import Document

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
def read(tmp_path):
    """Return a function that reads a configuration or a template from its text."""

    def read(text):
        file = tmp_path / "file.yaml"
        file.write_text(text)
        return Document.read(file)

    return read


@pytest.fixture
def shop(read):
    return App(read(OWN).configuration)


def posted(app, body, path="/prod/pets", **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return app("POST", path, content=content, headers=headers)


# --- our own file


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


def test_equal_elements_are_found_without_comparing_each_pair(read):
    schema = "{type: array, uniqueItems: true}"
    app = App(read(OWN.replace("application/json: {$ref: Pet}", f"application/json: {schema}")).configuration)
    assert posted(app, [{"a": i} for i in range(200_000)]).status_code == 200
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


# --- templates


def validation_of(document, key="POST /pets"):
    (api,) = document.configuration.apis.values()
    found = api.routes[key].validate
    empty = SimpleNamespace(parameters=(), body={})
    return tuple((found or empty).parameters), dict((found or empty).body), dict(api.models)


PET = {"type": "object", "required": ["name"], "properties": {"toy": {"$ref": "Toy"}}}
TOY = {"type": "object", "properties": {"size": {"type": "number"}}}
CFN = """
Resources:
  Api: {Type: AWS::ApiGateway::RestApi, Properties: {Name: shop}}
  Pets: {Type: AWS::ApiGateway::Resource, Properties: {RestApiId: !Ref Api, ParentId: !GetAtt Api.RootResourceId, PathPart: pets}}
  All: {Type: AWS::ApiGateway::RequestValidator, Properties: {RestApiId: !Ref Api, ValidateRequestBody: %s, ValidateRequestParameters: %s}}
  PetModel:
    Type: AWS::ApiGateway::Model
    Properties:
      RestApiId: !Ref Api
      Name: Pet
      ContentType: application/json
      Schema:
        $schema: http://json-schema.org/draft-04/schema#
        type: object
        required: [name]
        properties: {toy: {$ref: !Sub 'https://apigateway.amazonaws.com/restapis/${Api}/models/Toy'}}
  ToyModel:
    Type: AWS::ApiGateway::Model
    Properties: {RestApiId: !Ref Api, Name: Toy, Schema: '{"type": "object", "properties": {"size": {"type": "number"}}}'}
  Post:
    Type: AWS::ApiGateway::Method
    Properties:
      RestApiId: !Ref Api
      ResourceId: !Ref Pets
      HttpMethod: POST
      RequestValidatorId: !Ref All
      RequestModels: {application/json: %s}
      RequestParameters:
        {method.request.querystring.page: true, method.request.header.X-Tenant: 'true', method.request.path.id: true,
         method.request.querystring.size: false}
      Integration: {Type: MOCK, RequestTemplates: {application/json: '{"statusCode": 200}'}}
"""


@pytest.mark.parametrize("model", ["Pet", "!Ref PetModel"])
def test_cloudformation_validates_by_validators_and_models(read, model):
    document = read(CFN % ("true", "true", model))
    parameters, bodies, models = validation_of(document)
    assert parameters == ("querystring.page", "header.X-Tenant")
    name = "PetModel" if model.startswith("!") else "Pet"
    assert bodies == {"application/json": {"$ref": name}}
    assert {name: {**one, "$schema": ""} for name, one in models.items()} == {
        name: {**PET, "$schema": ""}, "Toy": {**TOY, "$schema": ""}
    }  # fmt: skip
    app = App(document.configuration)
    path = "/prod/pets?page=1"
    assert posted(app, {"name": "a", "toy": {"size": 1}}, path, x_tenant="a").status_code == 200
    assert posted(app, {"name": "a", "toy": {"size": "1"}}, path, x_tenant="a").json() == {
        "message": "Invalid request body"
    }
    assert posted(app, {"name": "a"}, "/prod/pets").status_code == 400
    assert not [one for one in document.warnings if "no stage" not in one]


def test_cloudformation_validates_only_what_the_validator_asks_for(read):
    assert validation_of(read(CFN % ("false", "true", "Pet")))[1] == {}
    assert validation_of(read(CFN % ("true", "false", "Pet")))[0] == ()
    assert validation_of(read(CFN % ("false", "false", "Pet"))) == ((), {}, {})


def test_the_models_that_each_api_has(read):
    assert validation_of(read(CFN % ("true", "true", "Empty")))[2] == {"Empty": {"type": "object"}}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("!Ref All", "none", "Post.Properties.RequestValidatorId: the request validator 'none' is not here"),
        ("application/json: Pet", "application/json: Cow", "bodies of type application/json are not validated: expected the name"),
        ("required: [name]", "required: yes", "are not validated: expected a JSON Schema of draft 4: required"),
        ("required: [name]", "pattern: '\\p{L}'", "are not validated: expected a regular expression"),
        ("'{\"type\": \"object\", ", "'{\"type\" ", "are not validated: expected the name of a model"),
    ],
)  # fmt: skip
def test_what_cannot_be_validated_is_a_warning(read, old, new, reason):
    document = read((CFN % ("true", "true", "Pet")).replace(old, new))
    assert any(reason in one for one in document.warnings), document.warnings
    assert validation_of(document)[1] == {}


OPENAPI = """
openapi: 3.0.1
info: {title: shop}
x-amazon-apigateway-request-validators:
  all: {validateRequestBody: true, validateRequestParameters: true}
  none: {}
x-amazon-apigateway-request-validator: all
paths:
  /pets:
    parameters:
    - {$ref: '#/components/parameters/Tenant'}
    - {in: query, name: page, required: false}
    post:
      parameters: [{in: query, name: page, required: true, schema: {type: integer}}, {in: cookie, name: c, required: true}]
      requestBody: {$ref: '#/components/requestBodies/Pet'}
      x-amazon-apigateway-integration: &mock {type: mock, requestTemplates: {application/json: '{"statusCode": 200}'}}
    get:
      x-amazon-apigateway-request-validator: none
      x-amazon-apigateway-integration: *mock
components:
  parameters: {Tenant: {in: header, name: X-Tenant, required: true}}
  requestBodies: {Pet: {content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}}}
  schemas:
    Pet: {type: object, required: [name], properties: {toy: {$ref: '#/components/schemas/Toy'}}}
    Toy: {type: object, properties: {size: {type: number}}}
    Unused: {type: nonsense}
"""
SWAGGER = """
swagger: "2.0"
info: {title: shop}
consumes: [application/json, text/json]
x-amazon-apigateway-request-validators: {body: {validateRequestBody: true}}
paths:
  /pets:
    post:
      x-amazon-apigateway-request-validator: body
      parameters: [{in: body, name: pet, schema: {type: array, minItems: 2, items: {$ref: '#/definitions/Toy'}}}]
      x-amazon-apigateway-integration: {type: mock, requestTemplates: {application/json: '{"statusCode": 200}'}}
definitions: {Toy: {type: object, properties: {size: {type: number}, minItems: {type: string}}}}
"""


def test_openapi_validates_by_the_validators_of_document_and_operation(read):
    document = read(OPENAPI)
    assert validation_of(document) == (
        ("header.X-Tenant", "querystring.page"), {"application/json": {"$ref": "Pet"}}, {"Pet": PET, "Toy": TOY}
    )  # fmt: skip
    assert validation_of(document, "GET /pets")[:2] == ((), {})
    assert document.warnings == ()


def test_swagger_validates_bodies(read):
    schema = {"type": "array", "items": {"$ref": "Toy"}}  # minItems is not one of the keywords that are checked there
    toy = {"type": "object", "properties": {**TOY["properties"], "minItems": {"type": "string"}}}
    assert validation_of(read(SWAGGER)) == (
        (), {"application/json": schema, "text/json": schema}, {"Toy": toy}
    )  # fmt: skip


def test_a_validator_that_a_document_lacks_is_a_warning(read):
    document = read(OPENAPI.replace("validator: all", "validator: every"))
    assert any("the request validator 'every' is not here" in one for one in document.warnings)


def test_an_http_api_does_not_validate(read):
    document = read(OPENAPI.replace("type: mock, request", "type: mock, payloadFormatVersion: '2.0', request"))
    assert any("only a REST API does that" in one for one in document.warnings)


SAM = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: prod
      Models: {Pet: {type: object, required: [name], properties: {toy: {$ref: '#/definitions/toy'}}}, Toy: {type: object}}
      %s
  F:
    Type: AWS::Serverless::Function
    Properties:
      Handler: a.b
      Runtime: python3.11
      InlineCode: b = print
      Events:
        E:
          Type: Api
          Properties:
            RestApiId: !Ref Api
            Path: /pets
            Method: post
            %s
"""
EVENT = """RequestModel: {Model: Pet, Required: true, ValidateBody: %s, ValidateParameters: %s}
            RequestParameters: [method.request.header.A, method.request.querystring.b: {Required: true, Caching: false}]"""


def test_events_of_sam_validate_by_models_and_parameters(read):
    models = {"Pet": {**PET, "properties": {"toy": {"$ref": "Toy"}}}, "Toy": {"type": "object"}}
    body = {"application/json": {"$ref": "Pet"}}
    assert validation_of(read(SAM % ("", EVENT % ("true", "true")))) == (("querystring.b",), body, models)
    assert validation_of(read(SAM % ("", EVENT % ("true", "false")))) == ((), body, models)
    assert validation_of(read(SAM % ("", EVENT % ("false", "false")))) == ((), {}, {})


def test_the_validator_of_a_document_holds_for_an_event(read):
    document = """DefinitionBody:
        swagger: 2.0
        x-amazon-apigateway-request-validators: {all: {validateRequestParameters: true}}
        paths: {/pets: {post: {parameters: [{in: query, name: q, required: true}],
          x-amazon-apigateway-request-validator: all}}}"""
    assert validation_of(read(SAM % (document, "")))[0] == ("querystring.q",)
