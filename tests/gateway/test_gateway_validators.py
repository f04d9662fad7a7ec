"""Request validators and models of templates."""

import json
from types import SimpleNamespace
from unittest import mock

import pytest
import yaml
from gateway_harness import App, posted

from ratelimit.gateway.schemas import check_schema


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
        ("application/json: Pet", "json: Pet", "bodies of type 'json' are not validated: that is not a content type"),
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
    document = """MergeDefinitions: true
      DefinitionBody:
        swagger: 2.0
        x-amazon-apigateway-request-validators: {all: {validateRequestParameters: true}}
        paths: {/pets: {post: {parameters: [{in: query, name: q, required: true}],
          x-amazon-apigateway-request-validator: all}}}"""
    assert validation_of(read(SAM % (document, "")))[0] == ("querystring.q",)


def test_texts_that_are_nested_without_bound_are_refused(read):
    for depth in (41, 900, 100_000):
        text = '{"not": ' * depth + "{}" + "}" * depth
        schema = 'Schema: \'{"type": "object", "properties": {"size": {"type": "number"}}}\''
        document = read((CFN % ("true", "true", "Toy")).replace(schema, f"Schema: '{text}'"))
        assert any("are not validated: expected the name of a model" in one for one in document.warnings)
        document = read((CFN % ("true", "true", "Toy")).replace("{Name: shop}", f"{{Name: shop, Policy: '{text}'}}"))
        assert any("so every request is denied: expected at most 40 levels" in one for one in document.warnings)


@pytest.mark.slow
def test_many_methods_and_models_are_read_in_a_bounded_time(read):
    """Each model is checked once: with each method it would take minutes."""
    document = yaml.safe_load(OPENAPI)
    post = document["paths"]["/pets"]["post"]
    schemas = {
        f"M{i}": {"type": "object", "properties": {"next": {"$ref": f"#/components/schemas/M{i - 1}"}}}
        for i in range(300)
    }
    document["components"]["schemas"] = {**schemas, "M0": {"$ref": "#/components/schemas/M299"}}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/M299"}}}}
    document["paths"] = {f"/p{i}": {"post": {**post, "requestBody": body}} for i in range(500)}
    with mock.patch("ratelimit.gateway.aws.validation.check_schema", side_effect=check_schema) as checked:
        api = read(json.dumps(document)).configuration.apis["shop"]
    assert (len(api.routes), len(api.models)) == (500, 300)
    assert checked.call_count == 500 + 300


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("validator: all", "validator: [all]"),
        ("name: page, required: false", "name: [page], required: [no]"),
        ("{in: header, name: X-Tenant, required: true}", "[X-Tenant]"),
        ("parameters: [{in: query", "parameters: [5, {in: query"),
        ("all: {validateRequestBody: true, validateRequestParameters: true}", "all: [body]"),
        ("{content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}}", "{content: [5]}"),
        ("{schema: {$ref: '#/components/schemas/Pet'}}", "{schema: 5}"),
        ("Pet: {type: object, required: [name]", "Pet: {$ref: 5, type: object, required: 5"),
    ],
)
def test_a_document_with_values_of_another_kind_is_read(read, old, new):
    assert old in OPENAPI
    assert set(read(OPENAPI.replace(old, new)).configuration.apis["shop"].routes) == {"POST /pets", "GET /pets"}
