"""Templates of SAM, CloudFormation and OpenAPI: what they become, what is wrong in them, and applications that run.

In one file: the tests have the templates in common.
"""

import json
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest
from waiting import PATIENCE
from websockets.sync.client import connect

from ratelimit.gateway import ConfigurationError, Throttle, read_file
from ratelimit.gateway.aws.convert import Options
from ratelimit.gateway.config.load import Document

TEMPLATES = Path(__file__).parent / "templates"
NONE = "mock 501"


def load(file, functions=None, **parameters):
    """Read a template of the folder."""
    return Document.read(TEMPLATES / file, Options(parameters, functions or {}))


def summary(route):
    """The integration of a route, and its conditions of use."""
    answer = route.function or (route.proxy and route.proxy.to[0]) or f"mock {route.mock.status}"
    return " ".join([answer, *filter(None, [route.authorizer, *route.scopes, "key" if route.api_key_required else ""])])


def routes(document):
    return {
        f"{name} {key}": summary(one)
        for name, api in document.configuration.apis.items()
        for key, one in api.routes.items()
    }


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("hello.yaml", {"ServerlessRestApi GET /hello": "HelloFunction"}),
        ("crud.yaml", {f"ServerlessRestApi {key}": to for key, to in (("GET /", NONE), ("GET /{id}", NONE), ("POST /", "Put"))}),
        (
            "http-jwt.yaml",
            {
                "Api ANY /items": "Shop Tokens email", "Api GET /open": "Shop", "Api PUT /items/{id}": "Shop Tokens write",
                "Api $default": "Shop",
            },
        ),
        (
            "usage-plan.yaml",
            {
                "Api GET /pets": "Pets key", "Api GET /open": "Pets", "Api OPTIONS /pets": "mock 200 key",
                "Api OPTIONS /open": "mock 200 key",
            },
        ),
        (
            "rest-authorizer.yaml",
            {
                "Api GET /token": "Show Token", "Api GET /request": "Show Request", "Api GET /pool": "Show Pool",
                "Api GET /open": "Show", "Api GET /iam": "Show",
            },
        ),
        ("chat.yaml", {"Chat $connect": "mock 200", "Chat send": "Send", "Chat echo": "Send"}),
        (
            "cfn-rest.yaml",
            {
                "Api GET /pets": "Function key", "Api GET /pets/{id}": "http://127.0.0.1:1/pets/{id} Authorizer",
                "Api OPTIONS /pets": "mock 200", "Api POST /pets": NONE, "Api ANY /{proxy+}": NONE,
            },
        ),
        (
            "cfn-http.yaml",
            {
                "Api GET /slow": "Code Simple", "Api ANY /back/{proxy+}": "http://${stageVariables.backend}:1/{proxy+}",
                "Api POST /queue": NONE, "Api GET /private": NONE, "Quick ANY /{proxy+}": "https://shop.example/base",
            },
        ),
        (
            "petstore.yaml",
            {
                "PetStore GET /": "mock 200", "PetStore GET /pets": "http://petstore.example/pets key",
                "PetStore OPTIONS /pets": "mock 204", "PetStore ANY /pets/{petId}": "http://petstore.example/pets/{petId}",
                "PetStore POST /lambda": NONE,
            },
        ),
        ("swagger.json", {"shop GET /a": f"{NONE} tokens", "shop ANY /b/{proxy+}": "http://shop.example/{proxy+}"}),
        ("included.yaml", {"Api GET /pets": "Shop", "Http $default": "Shop"}),
        ("sam-websocket.yaml", {"Chat $connect": "Say", "Chat $disconnect": "Say", "Chat say": "Say"}),
        (
            "odd-sam.yaml",
            {
                "Api GET /users/{user-id}": NONE, "Api ANY /noslash": NONE, "ServerlessRestApi ANY /": NONE,
                "ServerlessRestApi ANY /{proxy+}": NONE, "ServerlessHttpApi $default": NONE,
                **{f"Api OPTIONS {path}": "mock 200" for path in ("/users/{user-id}", "/noslash")},
                **{f"ServerlessRestApi OPTIONS {path}": "mock 200" for path in ("/", "/{proxy+}")},
            },
        ),
        (
            "odd-cfn.yaml",
            {
                **{f"MyApi {method} /orders/{{id}}": NONE for method in ("GET", "PUT", "DELETE")},
                "Ws $default": "mock 200", "Ws $disconnect": "mock 200",
            },
        ),
        ("cfn-validated.yaml", {"Api POST /": "mock 200"}),
        ("loops.yaml", {"Api ANY /Pets/{proxy+}": "PetsFunction", "Api ANY /Orders/{proxy+}": "OrdersFunction"}),
    ],
)  # fmt: skip
def test_routes_of_a_template(file, expected):
    assert routes(load(file)) == expected


def test_throttles_plans_and_keys():
    found = load("cfn-rest.yaml").configuration
    stage = found.apis["Api"].stages["v1"]
    assert stage.route_throttles == {"*": Throttle(5, 10), "GET /pets": Throttle(1, 2)}
    assert (stage.variables, stage.canary.percent, stage.canary.variables) == (
        {"colour": "red"},
        10,
        {"colour": "blue"},
    )
    plan = found.plans["Plan"]
    assert (plan.keys, plan.stages, plan.throttle) == (("Key",), ("Api/v1",), Throttle(10, 20))
    assert plan.route_throttles == {"Api/v1": {"GET /pets": Throttle(1, 1)}}
    assert (plan.quota.limit, plan.quota.period, plan.quota.offset) == (100, "MONTH", 1)
    assert found.api_keys == {"Key": "abcdefghijklmnopqrstuvwxyz"}


def test_parameters_conditions_and_mappings():
    found = load("cfn-rest.yaml", Stage="v2", WithKeys="false").configuration
    assert found.apis["Api"].stages["v2"].route_throttles["*"] == Throttle(50, 100)
    assert not found.apis["Api"].routes["GET /pets"].api_key_required
    assert (found.plans, found.api_keys) == ({}, {})


def test_settings_of_sam():
    found = load("usage-plan.yaml")
    api = found.configuration.apis["Api"]
    assert api.stages["prod"].route_throttles == {"*": Throttle(5, 10), "GET /pets": Throttle(1, 2)}
    assert api.binary_media_types == ("image/png", "*/*")
    assert (api.responses["THROTTLED"].status, set(api.responses)) == (420, {"DEFAULT_4XX", "THROTTLED"})
    assert api.routes["OPTIONS /pets"].mock.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    plan = found.configuration.plans["ApiUsagePlan"]
    assert (plan.throttle, plan.quota.limit, plan.stages) == (Throttle(1, 3), 1000, ("Api/prod",))
    (key,) = found.configuration.api_keys.values()
    assert any(key in warning for warning in found.warnings)  # it cannot be found otherwise


def test_authorizers_of_templates():
    found = load("http-jwt.yaml", Issuer="https://issuer.example").configuration.apis["Api"]
    jwt = found.authorizers["Tokens"].jwt
    assert (jwt.issuer, jwt.audience) == ("https://issuer.example", ("one", "two"))
    assert (found.cors.allow_origins, found.cors.max_age, found.cors.allow_credentials) == (
        ("https://shop.example",),
        600,
        True,
    )
    found = load("rest-authorizer.yaml").configuration.apis["Api"].authorizers
    token, request, pool = (found[name] for name in ("Token", "Request", "Pool"))
    assert (token.event, token.identity, token.pattern, token.ttl) == (
        "token",
        ("$request.header.X-Token",),
        "good-.*",
        60,
    )
    assert (request.event, request.ttl) == ("1.0", 0)
    assert request.identity == ("$request.header.X-Who", "$request.querystring.auth")
    assert pool.jwt.issuer == "https://cognito-idp.us-east-1.amazonaws.com/Users"


def test_mappings_of_an_integration():
    route = load("cfn-rest.yaml").configuration.apis["Api"].routes["GET /pets/{id}"]
    assert route.request == {"overwrite:header.X-Stage": "$context.stage", "overwrite:header.X-Fixed": "one"}
    assert route.proxy.timeout == 1


def test_domains_of_several_apis():
    domains = load("cfn-http.yaml").configuration.domains
    assert domains["api.shop.example"] == {"/v1": "Api/$default"}
    assert domains["*"] == {"/": "Api", "/Api": "Api", "/Quick": "Quick"}
    assert domains["quick.localhost"] == {"/": "Quick"}


def test_other_paths_lead_to_an_api_that_answers_requests(read):
    chat = """
  Chat: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: WEBSOCKET}}
  Connect: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Chat, RouteKey: $connect}}"""
    assert read(SAM.replace("Resources:", f"Resources:{chat}")).configuration.domains["*"]["/"] == "Shop"


@pytest.mark.parametrize("file", sorted(one.name for one in TEMPLATES.iterdir() if "part" not in one.name))
def test_convert_prints_a_file_of_our_own(file, tmp_path, capsys):
    """It has the same meaning, and each warning has a line of the template."""
    document = load(file)
    assert all(re.match(rf"{re.escape(document.file)}:\d+: warning: ", one) for one in document.warnings)
    from ratelimit.gateway.server.command import main

    assert main(["convert", str(TEMPLATES / file)]) == 0
    own = tmp_path / "own.yaml"
    own.write_text(capsys.readouterr().out)
    found, expected = read_file(own), document.configuration
    assert found.apis == expected.apis
    assert (found.plans, found.domains, found.api_keys) == (expected.plans, expected.domains, expected.api_keys)
    assert set(found.functions) == set(expected.functions)


# --- intrinsic functions

PART = """
Parameters: {{Name: {{Type: String, Default: ann}}, Many: {{Type: CommaDelimitedList, Default: 'a, b'}}, Two: {{Type: Number, Default: 2}}}}
Mappings: {{Map: {{one: {{two: three}}}}}}
Conditions:
  Yes: !Equals [!Ref Name, ann]
  No: !Not [!Condition Yes]
  Both: !And [!Condition Yes, !Or [!Condition No, !Equals [a, a]]]
Resources:
  Api: {{Type: AWS::ApiGatewayV2::Api, Properties: {{ProtocolType: HTTP, Target: 'http://x.example', RouteKey: $default}}}}
  Stage: {{Type: AWS::ApiGatewayV2::Stage, Properties: {{ApiId: !Ref Api, StageName: s, StageVariables: {{x: {expression}}}}}}}
  Fun: {{Type: AWS::Lambda::Function, Properties: {{Runtime: python3.11, Handler: a.b, Code: .}}}}
"""


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("!Ref Name", "ann"),
        ("{Ref: Name}", "ann"),
        ("!Ref Two", "2"),
        ("!Ref AWS::Region", "us-east-1"),
        ("!Ref Api", "Api"),
        ("!Ref Stage", "s"),
        ("!Sub '${Name}-${AWS::AccountId}-${!Literal}'", "ann-123456789012-${Literal}"),
        ("!Sub ['${Name}${Own}', {Own: !Ref Two}]", "ann2"),
        ("!Sub '${Fun.Arn}'", "arn:aws:lambda:us-east-1:123456789012:function:Fun"),
        ("!GetAtt Fun.Arn", "arn:aws:lambda:us-east-1:123456789012:function:Fun"),
        ("{'Fn::GetAtt': [Fun, Arn]}", "arn:aws:lambda:us-east-1:123456789012:function:Fun"),
        ("!Join ['-', [a, !Ref Name]]", "a-ann"),
        ("!Join ['-', !Ref Many]", "a-b"),
        ("!Select [1, !Ref Many]", "b"),
        ("!Select ['0', !Split ['/', 'x/y']]", "x"),
        ("!FindInMap [Map, one, two]", "three"),
        ("!FindInMap [Map, none, two, {DefaultValue: other}]", "other"),
        ("!If [Yes, then, else]", "then"),
        ("!If [Both, then, else]", "then"),
        ("!If [No, then, !If [Yes, !Ref Name, else]]", "ann"),
        ("!Base64 hi", "aGk="),
        ("!ImportValue other-stack", "other-stack"),
        ("!Join ['-', !GetAtt Fun.Names]", "Fun.Names"),
        ("!Select [1, !Split [':', !Select [0, !GetAtt Fun.Names]]]", "Fun.Names"),
        ("!Join ['-', !If [Yes, !ImportValue names, []]]", "names"),
        ("{'Fn::Length': [a, b, c]}", "3"),
        ("!ToJsonString {a: !Ref Name}", '{"a": "ann"}'),
    ],
)
def test_intrinsic_functions(tmp_path, expression, value):
    file = tmp_path / "template.yaml"
    file.write_text(PART.format(expression=expression))
    stages = Document.read(file).configuration.apis["Api"].stages
    assert stages["s"].variables == {"x": value}


def test_no_value_leaves_a_property_out(tmp_path):
    file = tmp_path / "template.yaml"
    file.write_text(PART.format(expression="!Ref AWS::NoValue"))
    assert Document.read(file).configuration.apis["Api"].stages["s"].variables == {}


REST = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Api: {Type: AWS::Serverless::Api, Properties: {StageName: prod, %s}}
  F: {Type: AWS::Serverless::Function, Properties: {Handler: a.b, Runtime: python3.11, InlineCode: "b = print", %s
    Events: {E: {Type: Api, Properties: {RestApiId: !Ref Api, Path: /a, Method: get, %s}}}}}
  Rest: {Type: AWS::ApiGateway::RestApi, Properties: {Name: rest, %s}}
  Get: {Type: AWS::ApiGateway::Method, Properties: {RestApiId: !Ref Rest, ResourceId: !GetAtt Rest.RootResourceId,
    HttpMethod: GET, Integration: {Type: MOCK, RequestTemplates: {application/json: '{statusCode: 200}'}}, %s}}
"""


def notes_of(document):
    """The warnings but for that of an API without a stage."""
    return [one for one in document.warnings if "no stage" not in one]


# --- names that SAM makes, files, and templates of CDK


SAM = """
Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]
Resources:
  Shop: {Type: AWS::Serverless::Api, Properties: {StageName: live, Auth: {ApiKeyRequired: true}}}
  Web: {Type: AWS::Serverless::HttpApi}
  F: {Type: AWS::Serverless::Function, Properties: {Handler: a.b, Runtime: python3.11, InlineCode: "b = print", Events: {
    A: {Type: Api, Properties: {RestApiId: !Ref Shop, Path: /a, Method: GET}},
    B: {Type: HttpApi, Properties: {ApiId: !Ref Web}}, C: {Type: Api, Properties: {Path: /c, Method: GET}}}}}
  Plan:
    Type: AWS::ApiGateway::UsagePlan
    DependsOn: ShopliveStage
    Properties:
      ApiStages:
      - {ApiId: !Ref Shop, Stage: !Ref ShopliveStage}
      - {ApiId: !Ref ServerlessRestApi, Stage: !Ref ServerlessRestApiProdStage}
  Map: {Type: AWS::ApiGatewayV2::ApiMapping, Properties: {ApiId: !Ref Web, DomainName: a.b, Stage: !Ref WebApiGatewayDefaultStage}}
  Other: {Type: AWS::ApiGatewayV2::ApiMapping, Properties: {ApiId: !Ref Shop, DomainName: a.c, Stage: !Ref Shop.Stage}}
"""


def test_a_reference_to_a_stage_that_sam_makes_is_its_name(read):
    configuration = read(SAM).configuration
    assert [str(one) for one in configuration.plans["Plan"].stages] == ["Shop/live", "ServerlessRestApi/Prod"]
    assert configuration.domains["a.b"] == {"/": "Web/$default"}
    assert configuration.domains["a.c"] == {"/": "Shop/live"}


INCLUDING = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Fn::Transform: {Name: AWS::Include, Parameters: {Location: resources.yaml}}
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP,
    Body: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: !Sub '${AWS::StackName}.yaml'}}}}}
  ByFile: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: HTTP, BodyS3Location: local.yaml}}
"""


def test_files_that_a_template_includes(read, tmp_path):
    (tmp_path / "resources.yaml").write_text(
        "F: {Type: AWS::Serverless::Function, Properties: {Handler: a.b, Runtime: python3.11, InlineCode: 'b = print',"
        " Events: {E: {Type: HttpApi}}}}"
    )
    (tmp_path / "local.yaml").write_text(
        "paths: {/a: {get: {x-amazon-apigateway-integration: {type: aws_proxy, uri: !GetAtt F.Arn}}}}"
    )
    assert routes(read(INCLUDING)) == {
        "Api GET /a": "F", "ByFile GET /a": "F", "ServerlessHttpApi $default": "F",
    }  # fmt: skip


def test_a_file_that_includes_itself_is_an_error(read, tmp_path):
    (tmp_path / "local.yaml").write_text(
        "paths: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: local.yaml}}}"
    )
    (tmp_path / "resources.yaml").write_text("{}")
    with pytest.raises(ConfigurationError, match=re.escape("circular reference: local.yaml -> local.yaml")):
        read(INCLUDING)


def test_code_and_documents_of_a_template_that_cdk_made(read, tmp_path):
    (tmp_path / "asset.yaml").write_text(
        "paths: {/a: {get: {x-amazon-apigateway-integration: {type: aws_proxy, uri: !GetAtt F.Arn}}}}"
    )
    in_s3 = "{Bucket: b, Key: k}"
    document = read(f"""
Resources:
  F:
    Type: AWS::Lambda::Function
    Properties: {{Code: {in_s3}, Handler: a.b, Runtime: python3.11, Layers: [!Ref L]}}
    Metadata: {{"aws:asset:path": asset.f, "aws:asset:property": Code}}
  L:
    Type: AWS::Lambda::LayerVersion
    Properties: {{Content: {in_s3}}}
    Metadata: {{"aws:asset:path": asset.l, "aws:asset:property": Content}}
  Api:
    Type: AWS::ApiGateway::RestApi
    Properties: {{BodyS3Location: {in_s3}}}
    Metadata: {{"aws:asset:path": asset.yaml, "aws:asset:property": BodyS3Location}}
""")
    assert routes(document) == {"Api GET /a": "F"}
    function = document.configuration.functions["F"]
    assert [Path(one).name for one in (function.folder, *function.layers)] == ["asset.f", "asset.l"]


def test_a_mapping_by_account_region_or_a_parameter_without_a_default(read):
    text = """
Parameters: {Env: {Type: String}}
Mappings: {M: {dev: {Rate: 3}, prod: {Rate: 100}}, A: {'999999999999': {Burst: 4}}}
""" + REST % (
        "MethodSettings: [{HttpMethod: '*', ResourcePath: '/*', ThrottlingRateLimit: !FindInMap [M, !Ref Env, Rate],"
        " ThrottlingBurstLimit: !FindInMap [A, !Ref AWS::AccountId, Burst]}]", "", "", "", "",
    )  # fmt: skip
    document = read(text)
    assert document.configuration.apis["Api"].stages["prod"].route_throttles == {"*": Throttle(3, 4)}
    assert any("no key for AWS::AccountId; '999999999999' is used" in one for one in document.warnings)
    assert any("no key for Env; 'dev' is used without --parameter Env=..." in one for one in document.warnings)


@pytest.mark.parametrize(
    ("added", "path", "reason"),
    [
        ("  S: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: a}}", "Resources.S", "a nested stack"),
        ("  S: {Type: AWS::Serverless::Application, Properties: {Location: a}}", "Resources.S", "a nested stack"),
        ("  S: {Type: AWS::ApiGatewayV2::ApiGatewayManagedOverrides, Properties: {}}", "Resources.S", "no effect"),
        ("Transform: [AWS::Serverless-2016-10-31, Mine]", "Transform", "the transform 'Mine' is not applied"),
        ("  Fn::Transform: {Name: Mine}", "Resources", "the transform 'Mine' is not applied"),
    ],
)
def test_an_unread_part_is_a_warning(read, added, path, reason):
    text = REST % ("", "", "", "", "")
    if added.startswith("Transform"):
        text = text.replace("Transform: AWS::Serverless-2016-10-31", added)
        added = ""
    (warning,) = notes_of(read(text + added))
    assert path in warning
    assert reason in warning


# --- bad input


@pytest.mark.parametrize(
    ("expression", "line", "problem"),
    [
        ("!Ref Absent", 9, "unknown name 'Absent' (choose from Name, Many, "),
        ("!GetAtt Absent.Arn", 9, "unknown name 'Absent'"),
        ("!GetAtt 5", 9, "expected the name of a resource and an attribute"),
        ("!Sub '${Absent}'", 9, "unknown name 'Absent'"),
        ("!FindInMap [Map, one, nothing]", 9, "unknown key of Mappings 'nothing'"),
        ("!If [Nothing, a, b]", 9, "unknown condition 'Nothing'"),
        ("!If [Yes, a]", 9, "expected a list of 3 values"),
        ("!Join a", 9, "expected a list of 2 values"),
        ("!Join ['-', !Ref Two]", 9, "expected a list"),
        ("!Select [x, [a]]", 9, "expected the number of a value, got 'x'"),
        ("!!python/object/apply:os.system [true]", 9, "expected no tag"),
        ("!Exec ls", 9, "expected no tag, got !Exec"),
        (f"!Join ['{'x' * 1000}', [{', '.join('a' * 1100)}]]", 9, "expected a text of at most 1000000 characters"),
    ],
)
def test_problems_have_their_line(tmp_path, expression, line, problem):
    file = tmp_path / "template.yaml"
    file.write_text(PART.format(expression=expression))
    with pytest.raises(ConfigurationError, match=re.escape(problem)) as caught:
        Document.read(file)
    assert str(caught.value).startswith((f"{file}:{line}: ", f"{file}:{line + 1}: "))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Resources: {}", "expected an API with routes"),
        ("Resources: {A: {Type: AWS::S3::Bucket}}", "expected an API with routes"),
        ("Resources: {A: 5}", "Resources.A: expected a resource with a Type, got 5"),
        ("Resources: [a]", "expected an API with routes"),
        ("Conditions: {A: !Condition B, B: !Condition A}\nResources: {}", "circular reference: A -> B -> A"),
        (
            "Resources: {A: {Type: X::Y::Z, Properties: {B: !Ref B}}, B: {Type: X::Y::Z, DependsOn: A}}",
            "circular reference: A -> B -> A",
        ),
        ("Resources: {A: {Type: X::Y::Z, DependsOn: C}}", "unknown resource 'C'"),
        ("Resources: {A: {Type: X::Y::Z, Condition: C}}", "unknown condition 'C'"),
        ("Resources:\n  A: &a [*a]", "expected at most 40 levels"),
        ("Resources: &r {" + "a: {" * 60 + "}" * 61, "expected at most 40 levels"),
        (
            "Resources: {S: {Type: AWS::ApiGateway::Stage, Properties: {StageName: !Sub '${S}-x'}}}",
            "circular reference: S -> S",
        ),
        ("openapi: 3.0.1\npaths: []", "expected an API with routes"),
        (
            "Resources: {A: {Type: AWS::Serverless::Api, Properties: {StageName: a, DefinitionUri: 's3://b/c'}}}",
            "Resources.A.Properties.DefinitionUri: the file 's3://b/c' is not here",
        ),
    ],
)
def test_templates_that_cannot_be_used(tmp_path, text, problem):
    file = tmp_path / "template.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(problem)):
        Document.read(file)


def test_aliases_and_nested_texts_do_not_grow_without_bound(tmp_path):
    file = tmp_path / "template.yaml"
    aliases = "".join(f"x{i}: &x{i} [{', '.join([f'*x{i - 1}' if i else 'a'] * 10)}]\n" for i in range(9))
    file.write_text(f"{aliases}Resources: {{A: {{Type: B::C::D, Properties: {{x: *x8}}}}}}")
    with pytest.raises(ConfigurationError, match="expected aliases that copy at most"):
        Document.read(file)
    nested = "a" * 100
    for _ in range(10):
        nested = f"!Sub ['{'${v}' * 20}', {{v: {nested}}}]"
    file.write_text(PART.format(expression=nested))
    with pytest.raises(ConfigurationError, match=r"at most 1000000 characters|at most 40 levels"):
        Document.read(file)


@pytest.mark.parametrize(
    ("position", "given", "path", "reason"),
    [
        (
            0,
            "Auth: {ResourcePolicy: {SourceVpcWhitelist: [vpce-1]}}",
            "Auth.ResourcePolicy",
            "no request has aws:sourcevpce here",
        ),
        (0, "CacheClusterEnabled: true", "CacheClusterEnabled", "answers are not cached"),
        (
            0,
            "MethodSettings: [{HttpMethod: GET, ResourcePath: /a, CachingEnabled: true}]",
            "MethodSettings[0]",
            "cached",
        ),
        (0, "Unheard: 1", "Unheard", "no effect"),
        (0, "Auth: {Unheard: 1}", "Auth.Unheard", "no effect"),
        (0, "DefinitionBody: {x-amazon-apigateway-policy: {Version: x}}", "x-amazon-apigateway-policy", "is denied"),
        (
            0,
            "MergeDefinitions: true, DefinitionBody: {paths: {/a: {get: {x-amazon-apigateway-request-validator: all}}}}",
            "paths['/a'].get",
            "the request validator 'all' is not here",
        ),
        (
            0,
            "MergeDefinitions: true, DefinitionBody: {paths: {/b: {get: {}}}}",
            "paths['/b'].get",
            "no integration and no event",
        ),
        (0, "GatewayResponses: {WAF_FILTERED: {StatusCode: 403}}", "GatewayResponses.WAF_FILTERED", "do not occur"),
        (0, "GatewayResponses: {DEFAULT_4XX: {StatusCode: 200}}", "GatewayResponses.DEFAULT_4XX", "400 to 599"),
        (1, "Layers: ['arn:aws:lambda:us-east-1:1:layer:Tools:3'],", "F.Properties", "the layer 'arn:aws:lambda"),
        (1, "FileSystemConfigs: [{LocalMountPath: /mnt/a}],", "F.Properties", "is not mounted"),
        (
            2,
            "RequestModel: {Model: M, ValidateBody: true}",
            "F.Properties.Events.E",
            "json are not validated: expected the name",
        ),
        (2, "Unheard: 1", "Properties.Unheard", "no effect"),
        (3, "Policy: {Statement: [{Effect: None}]}", "Rest.Properties.Policy", "every request is denied: Effect"),
        (0, "Auth: {UsagePlan: {CreateUsagePlan: SINGLE}}", "Auth.UsagePlan", "no usage plan of the kind 'SINGLE'"),
        (
            0,
            "MergeDefinitions: true, DefinitionBody: {paths: {/a: {get: {x-amazon-apigateway-auth: {type: AWS_IAM}}}}}",
            "paths['/a'].get.x-amazon-apigateway-auth",
            "the authorization AWS_IAM is not checked",
        ),
        (
            0,
            "Auth: {DefaultAuthorizer: A, Authorizers: {A: {UserPoolArn: [arn:x/r_1, arn:x/r_2]}}}",
            "Authorizers.A",
            "the tokens of the user pool arn:x/r_2 are refused",
        ),
        (
            0,
            "Auth: {DefaultAuthorizer: A, Authorizers: {A: {UserPoolArn: r_1, Identity: {ValidationExpression: 'a.*'}}}}",
            "Authorizers.A",
            "the audience of tokens is not matched with 'a.*'",
        ),
        (
            0,
            "Auth: {DefaultAuthorizer: A, Authorizers: {A: {FunctionArn: !GetAtt F.Arn, FunctionPayloadType: REQUEST,"
            " Identity: {Context: [other]}}}}",
            "Authorizers.A",
            "the identity source '$context.other' is not emulated",
        ),
        (0, "Auth: closed", "Api.Properties.Auth", "expected names and their values, got 'closed'"),
        (3, "Name: twice", "Rest.Properties", "duplicate name 'Name' (first in line 7); the last one is used"),
        (4, "RequestValidatorId: v", "Get.Properties.RequestValidatorId", "the request validator 'v' is not here"),
        (4, "Unheard: 1", "Get.Properties.Unheard", "no effect"),
    ],
)
def test_a_property_without_effect_is_a_warning(read, position, given, path, reason):
    (warning,) = notes_of(read(REST % tuple(given if at == position else "" for at in range(5))))
    assert path in warning
    assert reason in warning


def test_a_vpc_link_answers_501(read):
    text = REST % ("", "", "", "", "")
    linked = "{Type: HTTP_PROXY, ConnectionType: VPC_LINK, IntegrationHttpMethod: GET, Uri: 'http://10.0.0.1'}"
    document = read(re.sub("{Type: MOCK.*}}(?=, )", linked, text))
    assert routes(document)["Rest GET /"] == NONE
    assert any("a VPC link is not emulated" in warning for warning in document.warnings)


def test_no_warning_for_properties_that_change_no_answer(read):
    quiet = (
        "Name: a, Description: b, Tags: {c: d}, TracingEnabled: true, AccessLogSetting: {Format: x}, Models: {M: {}}"
    )
    method = "OperationName: a, MethodResponses: [{StatusCode: 200}], RequestParameters: {method.request.path.id: true}"
    text = REST % (quiet, "", "RequestModel: {Model: M}", "EndpointConfiguration: {Types: [EDGE]}", method)
    assert notes_of(read(text)) == []


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("Auth: {UsagePlan: {CreateUsagePlan: PER_API, Quota: {Limit: many}}}", "quota.limit"),
        ("Auth: {UsagePlan: {CreateUsagePlan: PER_API, Quota: {Limit: 5, Offset: x}}}", "quota.offset"),
        ("Auth: {UsagePlan: {CreateUsagePlan: PER_API, Throttle: {RateLimit: fast}}}", "throttle.rate"),
        ("Auth: {UsagePlan: {CreateUsagePlan: PER_API, Throttle: {BurstLimit: -2}}}", "throttle.burst"),
        ("CanarySetting: {PercentTraffic: most}", "canary.percent"),
        ("MethodSettings: [{HttpMethod: GET, ResourcePath: /a, ThrottlingRateLimit: x}]", "rate"),
    ],
)
def test_a_text_in_place_of_a_number_is_an_error_with_its_line(read, given, path):
    with pytest.raises(ConfigurationError, match=rf"template.yaml:[1-9]\d*: .*{re.escape(path)}: expected "):
        read(REST % (given, "", "Auth: {ApiKeyRequired: true}", "", ""))


def test_an_error_has_the_path_in_the_template(read):
    text = "\nResources:\n  H:\n    Type: AWS::ApiGatewayV2::Api\n    Properties:\n      Target: 'http://a.example'\n"
    with pytest.raises(ConfigurationError) as caught:
        read(text + "      CorsConfiguration: {AllowOrigins: ['*'], MaxAge: long}\n")
    assert re.search(
        r"yaml:5: Resources.H.Properties: cors.max_age: expected a whole number, got 'long'$", str(caught.value)
    )


def test_notes_about_a_template_without_routes_are_warnings(read):
    with pytest.raises(ConfigurationError) as caught:
        read("\nResources: {Api: {Type: AWS::ApiGateway::RestApi, Properties: {Name: a}}}")
    assert re.search(r"yaml:1: Resources: expected an API with routes\n", str(caught.value))
    assert re.search(r"yaml:2: warning: Resources.Api.Properties: this API has no routes$", str(caught.value))


def test_a_disabled_key_is_not_accepted(read):
    text = (TEMPLATES / "cfn-rest.yaml").read_text()
    document = read(text.replace("Name: ann, Enabled: true", "Name: ann, Enabled: false"))
    assert load("cfn-rest.yaml").configuration.api_keys
    assert not document.configuration.api_keys
    assert any("disabled" in warning for warning in document.warnings)


@pytest.mark.parametrize(
    ("declared", "value", "problem"),
    [
        ("{Type: String, AllowedValues: [dev, prod]}", "nope", "expected one of dev, prod, got 'nope'"),
        ("{Type: CommaDelimitedList, AllowedValues: [a, b]}", "a, c", "expected one of a, b, got 'c'"),
        ("{Type: Number}", "abc", "expected a number, got 'abc'"),
        ("{Type: List<Number>}", "1,x", "expected a number, got 'x'"),
        ("{Type: Number, AllowedValues: [5, 10]}", "5", ""),
        ("{Type: CommaDelimitedList, AllowedValues: [a, b]}", "b, a", ""),
        ("{Type: AWS::SSM::Parameter::Value<String>, AllowedValues: [/key]}", "a value", ""),
    ],
)
def test_a_given_parameter_must_be_one_that_the_template_allows(read, tmp_path, declared, value, problem):
    text = f"Parameters: {{A: {declared}}}" + REST % ("", "", "", "", "")
    read(text)
    refused = pytest.raises(ConfigurationError, match=re.escape(f"template.yaml:1: Parameters.A: {problem}"))
    with refused if problem else nullcontext():
        Document.read(tmp_path / "template.yaml", Options({"A": value}))


def test_unknown_parameter_and_wrong_option(tmp_path):
    with pytest.raises(ConfigurationError, match=re.escape("unknown parameter 'Stagee' (did you mean 'Stage'?")):
        load("cfn-rest.yaml", Stagee="v1")
    own = tmp_path / "own.yaml"
    own.write_text("apis: {a: {routes: {GET /: {mock: {}}}, stages: {$default: }}}")
    with pytest.raises(ValueError, match="are for templates"):
        Document.read(own, Options({"a": "b"}))


def test_check_needs_no_code():
    """Missing code is a warning."""
    command = [sys.executable, "-m", "ratelimit", "gateway", str(TEMPLATES / "hello.yaml"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0
    assert re.search(r"hello.yaml:\d+: warning: .*the folder hello/ of function HelloFunction is missing", done.stderr)


def test_five_hundred_routes(tmp_path):
    """Each is served. The time is bounded by the number of routes, not by its square."""
    events = "".join(
        f"        E{i}: {{Type: HttpApi, Properties: {{Path: '/r{i}/{{id}}', Method: get}}}}\n" for i in range(500)
    )
    file = tmp_path / "template.yaml"
    file.write_text(
        "Transform: AWS::Serverless-2016-10-31\nResources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n"
        f"      Runtime: python3.11\n      Handler: app.handler\n      CodeUri: .\n      Events:\n{events}"
    )
    assert len(Document.read(file).configuration.apis["ServerlessHttpApi"].routes) == 500


# --- applications that run

APPLICATION = """
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Runtime: python3.11, Handler: app.handler, Environment: {Variables: {SHARED: globally}}}}
Resources:
  Http:
    Type: AWS::Serverless::HttpApi
    Properties: {CorsConfiguration: {AllowOrigins: ['https://shop.example'], AllowMethods: [GET]}}
  Rest:
    Type: AWS::Serverless::Api
    Properties:
      StageName: prod
      Auth: {ApiKeyRequired: true, UsagePlan: {CreateUsagePlan: PER_API, Throttle: {BurstLimit: 2, RateLimit: 0.001}}}
  Chat:
    Type: AWS::Serverless::WebSocketApi
    Properties: {StageName: dev, Routes: {say: {FunctionArn: !GetAtt Two.Arn, RouteResponseSelectionExpression: $default}, push: {FunctionArn: !GetAtt Push.Arn}}}
  Push: {Type: AWS::Serverless::Function, Properties: {CodeUri: push, Timeout: 30}}
  One:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: one
      Environment: {Variables: {NAME: one, STAGE: !Sub '${Rest.Stage}'}}
      Timeout: 1
      Events:
        Get: {Type: HttpApi, Properties: {ApiId: !Ref Http, Path: /one, Method: GET}}
        Slow: {Type: HttpApi, Properties: {ApiId: !Ref Http, Path: /slow, Method: GET}}
        Exit: {Type: HttpApi, Properties: {ApiId: !Ref Http, Path: /exit, Method: GET}}
        Rest: {Type: Api, Properties: {RestApiId: !Ref Rest, Path: /one, Method: GET}}
  Two:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: two
      Environment: {Variables: {NAME: two}}
      Events:
        Get: {Type: HttpApi, Properties: {ApiId: !Ref Http, Path: /two, Method: GET}}
  Elsewhere:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: nodejs22.x
      CodeUri: js
      Events: {Get: {Type: HttpApi, Properties: {ApiId: !Ref Http, Path: /elsewhere, Method: GET}}}
  Queue:
    Type: AWS::Serverless::StateMachine
    Properties: {Events: {Get: {Type: HttpApi, Properties: {ApiId: !Ref Http, Path: /machine, Method: GET}}}}
"""
CODE = """
import json, os, threading
from helper import NAME
def handler(event, context):
    path = event.get("rawPath", "")
    if path == "/slow":
        threading.Event().wait()
    if path == "/exit":
        os._exit(3)
    seen = {"module": NAME, "folder": os.path.basename(os.getcwd()), "name": os.environ["NAME"], "pid": os.getpid(),
            "shared": os.environ["SHARED"], "function": context.function_name, "stage": os.environ.get("STAGE"),
            "left": context.get_remaining_time_in_millis()}
    return {"statusCode": 200, "body": json.dumps(seen)}
"""

PUSH = """
import boto3
def handler(event, context):
    to = event["requestContext"]
    client = boto3.client("apigatewaymanagementapi", endpoint_url=f"https://{to['domainName']}/{to['stage']}")
    client.post_to_connection(ConnectionId=to["connectionId"], Data=b"pushed")
    return {"statusCode": 200}
"""


@pytest.fixture
def application(serve, backend, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.py").write_text(CODE)
        (tmp_path / name / "helper.py").write_text(f"NAME = 'helper of {name}'")

    (tmp_path / "push").mkdir()
    (tmp_path / "push" / "app.py").write_text(PUSH)

    async def answer(head, reader, writer):
        body = json.dumps({"statusCode": 203, "body": head.split(b" ")[1].decode()}).encode()
        writer.write(
            b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n".replace(b"\\r\\n", b"\r\n") % len(body) + body
        )

    return serve(APPLICATION, "--function", f"Elsewhere={backend(answer).url}")


def test_an_application_of_three_apis(application):
    """Two functions are called `app.handler`. Each has its own modules, folder and environment."""
    key = re.search(r"the API key RestApiKey is (\w+)", application.log.read_text())[1]
    with httpx.Client(base_url=application.url, timeout=PATIENCE) as client:
        one, again, two = (client.get(path).json() for path in ("/one", "/one", "/two"))
        assert (one["module"], one["folder"], one["name"], one["function"]) == ("helper of one", "one", "one", "One")
        assert (two["module"], two["folder"], two["name"], two["function"]) == ("helper of two", "two", "two", "Two")
        assert (one["shared"], two["shared"], one["stage"]) == ("globally", "globally", "prod")
        assert (again["pid"], two["pid"] != one["pid"], one["left"] <= 1000 < two["left"]) == (one["pid"], True, True)
        for path in ("/slow", "/exit"):  # ended at its Timeout of a second; ended by itself
            assert (client.get(path).status_code, client.get("/one").status_code) == (502, 200)
        answer = client.get("/elsewhere")
        assert (answer.status_code, answer.text) == (203, "/2015-03-31/functions/function/invocations")
        assert client.get("/machine").status_code == 501
        rest = {"host": "rest.localhost", "x-api-key": key}
        assert client.get("/prod/one", headers={"host": "rest.localhost"}).status_code == 403
        assert [client.get("/prod/one", headers=rest).status_code for _ in range(3)] == [200, 200, 429]
        assert client.get("/Rest/prod/one", headers={"x-api-key": key}).status_code == 429
        page = {"origin": "https://shop.example", "access-control-request-method": "GET"}
        asked = client.options("/one", headers=page)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, "https://shop.example")
    with connect(f"ws://127.0.0.1:{application.port}/Chat/dev") as socket:
        socket.send('{"action": "say"}')
        assert json.loads(socket.recv(timeout=PATIENCE))["name"] == "two"
        socket.send('{"action": "push"}')
        assert socket.recv(timeout=PATIENCE) == "pushed"


def test_new_code_is_used_at_once(serve, tmp_path):
    code = tmp_path / "code"
    code.mkdir()
    (code / "app.py").write_text("def handler(event, context): return 'old'")
    own = "functions: {F: {handler: app.handler, folder: code}}\napis: {a: {routes: {GET /: {function: F}}, stages: {$default: }}}"
    server = serve(own)
    assert httpx.get(server.url, timeout=PATIENCE).text == "old"
    (code / "app.py").write_text("def handler(event, context): return 'new!'")
    assert httpx.get(server.url, timeout=PATIENCE).text == "new!"
    (code / "app.py").write_text("raise RuntimeError('broken')")
    assert httpx.get(server.url, timeout=PATIENCE).status_code == 502
    server.wait_for("function F cannot be loaded: broken")


# --- dynamic references


DYNAMIC = """
Transform: AWS::Serverless-2016-10-31
Parameters: {Burst: {Type: AWS::SSM::Parameter::Value<Number>, Default: /shop/burst}}
Globals: {Function: {Timeout: '{{resolve:ssm:/timeout}}'}}
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: prod
      Variables: {rate: '{{resolve:ssm:/shop/rate:2}}'}
      MethodSettings: [{HttpMethod: '*', ResourcePath: '/*', ThrottlingRateLimit: '{{resolve:ssm:/shop/rate:2}}',
        ThrottlingBurstLimit: !Ref Burst}]
      Auth: {UsagePlan: {CreateUsagePlan: PER_API, Quota: {Limit: '{{resolve:secretsmanager:a:SecretString:b}}', Period: DAY}}}
  F: {Type: AWS::Serverless::Function, Properties: {Handler: a.b, Runtime: python3.11, InlineCode: "b = print", Events: {
    E: {Type: Api, Properties: {RestApiId: !Ref Api, Path: /, Method: GET, Auth: {ApiKeyRequired: true}}}}}}
"""


def test_a_dynamic_reference_in_place_of_a_number_is_the_default(read):
    document = read(DYNAMIC)
    stage = document.configuration.apis["Api"].stages["prod"]
    assert stage.route_throttles == {"*": Throttle(10_000, 5_000)}
    assert stage.variables == {"rate": "{{resolve:ssm:/shop/rate:2}}"}
    assert document.configuration.plans["ApiUsagePlan"].quota is None
    assert document.configuration.functions["F"].timeout == 3
    notes = "\n".join(document.warnings)
    for line, what in (
        (8, "the rate {{resolve:ssm:/shop/rate:2}} is not known; 10000 is used without --parameter resolve:ssm:/shop/rate:2=VALUE"),
        (8, "the burst {{resolve:ssm:/shop/burst}} is not known; 5000 is used"),
        (8, "the limit {{resolve:secretsmanager:a:SecretString:b}} is not known; no limit is used"),
        (14, "the timeout {{resolve:ssm:/timeout}} is not known; the default is used"),
    ):  # fmt: skip
        assert re.search(rf"template.yaml:{line}: .*{re.escape(what)}", notes), notes


@pytest.mark.parametrize(
    ("declared", "value", "rate", "note"),
    [
        ("{Type: Number}", "0", 10_000, "the rate Rate is not known; 10000 is used without --parameter Rate=VALUE"),
        ("{Type: Number, MinValue: 2}", "2", 10_000, "the parameter has no default; '2' is used without --parameter"),
        ("{Type: Number, AllowedValues: [3, 4]}", "3", 3, "the parameter has no default; '3' is used"),
        ("{Type: String}", "Rate", 10_000, "the parameter has no default; 'Rate' is used"),
        ("{Type: String, AllowedValues: [OFF, ON]}", "false", None, "the parameter has no default; 'false' is used"),
    ],
)
def test_a_parameter_without_a_default_sets_no_throttle(read, declared, value, rate, note):
    """A rate of 0 refuses every request. The first allowed value is one that the author has in mind."""
    setting = "MethodSettings: [{HttpMethod: '*', ResourcePath: '/*', ThrottlingRateLimit: !Ref Rate}]"
    text = REST % (f"Variables: {{a: !Ref Rate}}, {setting if rate else ''}", "", "", "", "")
    document = read(f"Parameters: {{Rate: {declared}}}" + text)
    stage = document.configuration.apis["Api"].stages["prod"]
    assert (stage.variables["a"], stage.route_throttles) == (value, {"*": Throttle(rate, 5_000)} if rate else {})
    assert note in "\n".join(document.warnings)


def test_an_imported_value_in_place_of_a_number_is_the_default(read):
    setting = "MethodSettings: [{HttpMethod: '*', ResourcePath: '/*', ThrottlingRateLimit: !ImportValue rate}]"
    document = read(REST % (setting, "", "", "", ""))
    assert document.configuration.apis["Api"].stages["prod"].route_throttles == {"*": Throttle(10_000, 5_000)}
    assert any("the rate rate is not known; 10000 is used" in one for one in document.warnings)


def test_a_dynamic_reference_may_have_its_value_by_parameter(read, tmp_path):
    read(DYNAMIC)
    names = ("ssm:/shop/rate:2", "ssm:/shop/burst", "secretsmanager:a:SecretString:b", "ssm:/timeout")
    given = {f"resolve:{name}": str(value) for value, name in enumerate(names, 5)}
    document = Document.read(tmp_path / "template.yaml", Options(given, {}))
    configuration = document.configuration
    assert configuration.apis["Api"].stages["prod"].route_throttles == {"*": Throttle(5, 6)}
    assert configuration.plans["ApiUsagePlan"].quota.limit == 7
    assert configuration.functions["F"].timeout == 8
    assert not [one for one in document.warnings if "resolve" in one]


def test_an_expression_of_a_user_pool_is_about_the_audience(read):
    auth = (
        "Auth: {DefaultAuthorizer: A, Authorizers: {A: {UserPoolArn: r_1, Identity: {ValidationExpression: shop-1}}}}"
    )
    document = read(REST % (auth, "", "", "", ""))
    assert document.configuration.apis["Api"].authorizers["A"].jwt.audience == ("shop-1",)


def test_a_template_of_sam_may_lack_its_transform(read):
    body = "MergeDefinitions: true, DefinitionBody: {swagger: 2.0, paths: {/a: {get: {responses: {}}}}}"
    text = (REST % (body, "", "", "", "")).replace("Transform: AWS::Serverless-2016-10-31", "")
    assert routes(read(text))["Api GET /a"] == "F"


IGNORING = """
Transform: AWS::Serverless-2016-10-31
Parameters: {Cors: {Type: String, Default: false}}
Globals: {Api: {Auth: {ApiKeyRequired: true}, Variables: {a: b}}, Function: {Timeout: 9, MemorySize: 512}}
Resources:
  A: {Type: AWS::Serverless::Api, IgnoreGlobals: [Auth], Properties: {StageName: prod}}
  B: {Type: AWS::Serverless::Api, IgnoreGlobals: '*', Properties: {StageName: prod}}
  C: {Type: AWS::Serverless::HttpApi, Properties: {CorsConfiguration: !Ref Cors}}
  F: {Type: AWS::Serverless::Function, IgnoreGlobals: Timeout, Properties: {Handler: a.b, Runtime: python3.11,
    InlineCode: "b = print", Events: {
      A: {Type: Api, Properties: {RestApiId: !Ref A, Path: /, Method: get}},
      B: {Type: Api, Properties: {RestApiId: !Ref B, Path: /, Method: get}},
      C: {Type: HttpApi, Properties: {ApiId: !Ref C}}}}}
"""


def test_a_resource_may_ignore_globals(read):
    configuration = read(IGNORING).configuration
    assert [summary(configuration.apis[name].routes["GET /"]) for name in "AB"] == ["F", "F"]
    assert [dict(configuration.apis[name].stages["prod"].variables) for name in "AB"] == [{"a": "b"}, {}]
    assert (configuration.functions["F"].timeout, configuration.functions["F"].memory) == (3, 512)


def test_a_parameter_may_turn_cors_off(read):
    assert read(IGNORING).configuration.apis["C"].cors is None
    assert read(IGNORING.replace("Default: false", "Default: true")).configuration.apis["C"].cors is not None


def test_settings_of_an_event_are_merged_with_those_of_its_api(read):
    text = IGNORING.replace("CorsConfiguration: !Ref Cors", "RouteSettings: {$default: {ThrottlingRateLimit: 0.5}}")
    text = text.replace("ApiId: !Ref C", "ApiId: !Ref C, RouteSettings: {ThrottlingBurstLimit: 3}")
    assert read(text).configuration.apis["C"].stages["$default"].route_throttles == {"$default": Throttle(0.5, 3)}


def test_a_dynamic_reference_that_no_value_has_is_an_error(read, tmp_path):
    read(DYNAMIC)
    with pytest.raises(ConfigurationError, match=re.escape("expected {{resolve:ssm:/none}} in the template")):
        Document.read(tmp_path / "template.yaml", Options({"resolve:ssm:/none": "5"}, {}))
