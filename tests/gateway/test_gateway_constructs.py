"""Constructs of templates, each in a small template of its own: what becomes of it, and what is noted.

In one file: the constructs are put into the same few templates.
"""

import re
from pathlib import Path

import pytest
from gateway_harness import App

from ratelimit.gateway import ConfigurationError, Throttle
from ratelimit.gateway.aws.convert import Options
from ratelimit.gateway.aws.intrinsics import Resolver
from ratelimit.gateway.config.load import Document

ARN = "arn:aws:lambda:us-east-1:123456789012:function"
MOCK = "{x-amazon-apigateway-integration: {type: mock}}"
REST = """
Resources:
  F: {Type: AWS::Lambda::Function, Properties: {Runtime: python3.11, Handler: a.b, Code: {ZipFile: 'b = print'}}}
  Api: {Type: AWS::ApiGateway::RestApi, Properties: {Name: rest}}
  Get: {Type: AWS::ApiGateway::Method, Properties: {RestApiId: !Ref Api, ResourceId: !GetAtt Api.RootResourceId,
    HttpMethod: GET, Integration: {Type: %s, %s}}}
  Stage: {Type: AWS::ApiGateway::Stage, Properties: {RestApiId: !Ref Api, StageName: live, Variables: {name: F}}}
"""
MAPPED = "RequestTemplates: {application/json: '{statusCode: 200}'}"
SAM = """
Transform: AWS::Serverless-2016-10-31
Resources:
  F: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.11, Handler: a.b, InlineCode: 'b = print', Events: {
    E: {Type: Api, Properties: {Path: /a, Method: GET, RestApiId: !Ref Api}}}}}
  Api: {Type: AWS::Serverless::Api, Properties: {StageName: live, %s}}
"""
JWT = "{JwtConfiguration: {issuer: 'https://issuer.example', audience: [a]}, IdentitySource: $request.header.Authorization}"
OWN = f"Auth: {{Authorizers: {{Own: {JWT}, Other: {JWT}}}"
INTEGRATION = "x-amazon-apigateway-integration: {type: http_proxy, uri: 'http://127.0.0.1:1'}"
DOCUMENT = f"DefinitionBody: {{openapi: 3.0.1, paths: {{/a: {{get: {{{INTEGRATION}, %s}}}}}}}}"
V2 = """
Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {ProtocolType: %s}}
  I: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: !Ref Api, IntegrationType: HTTP_PROXY,
    IntegrationMethod: ANY, IntegrationUri: 'http://127.0.0.1:1'}}
  R: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: !Ref Api, RouteKey: %s, Target: !Sub 'integrations/${I}', %s}}
"""
HTTP = """
Transform: AWS::Serverless-2016-10-31
Resources:
  F: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.11, Handler: a.b, InlineCode: 'b = print', Events: {
    E: {Type: HttpApi, Properties: {ApiId: !Ref Api, Path: /a, Method: GET, %s}}}}}
  Api: {Type: AWS::Serverless::HttpApi, Properties: {%s}}
"""


def invoked(name):
    """The address that calls a function."""
    return f"!Sub 'arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{name}/invocations'"


def routes_of(document, api="Api"):
    return document.configuration.apis[api].routes


def noted(document):
    return "\n".join(document.warnings)


# --- intrinsic functions


def test_loops_make_conditions_and_names_of_references(read):
    document = read("""
Transform: AWS::LanguageExtensions
Parameters: {Names: {Type: CommaDelimitedList, Default: 'cats,dogs'}}
Conditions:
  Fn::ForEach::Served: [Name, !Ref Names, {'Has${Name}': !Equals [!Ref Name, cats]}]
Resources:
  Api: {Type: AWS::ApiGateway::RestApi, Properties: {Name: rest}}
  Fn::ForEach::Pets:
  - Name
  - !Ref Names
  - R${Name}: {Type: AWS::ApiGateway::Resource, Properties: {RestApiId: !Ref Api,
      ParentId: !GetAtt [Api, RootResourceId], PathPart: !Ref Name}}
    M${Name}: {Type: AWS::ApiGateway::Method, Condition: 'Has${Name}', Properties: {RestApiId: !Ref Api,
      ResourceId: !Ref {Fn::Sub: 'R${Name}'}, HttpMethod: GET, Integration: {Type: MOCK}}}
""")
    assert list(routes_of(document)) == ["GET /cats"]


def test_a_resource_that_a_file_has(read, tmp_path):
    (tmp_path / "api.yaml").write_text(
        f"{{Type: AWS::ApiGateway::RestApi, Properties: {{Body: {{paths: {{/a: {{get: {MOCK}}}}}}}}}}}"
    )
    document = read("Resources: {Api: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: api.yaml}}}}")
    assert list(routes_of(document)) == ["GET /a"]


OPENAPI = """
openapi: 3.0.1
info: {title: shop}
paths: {/a: {get: {x-amazon-apigateway-integration: {type: aws_proxy, httpMethod: POST, uri: {Fn::Sub:
  'arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Shop.Arn}/invocations'}}}},
  /b: {get: {x-amazon-apigateway-integration: {type: http_proxy, httpMethod: GET, uri: !Sub 'http://${Host}/b'}}}}
"""


def test_names_in_a_document_are_those_of_another_template(tmp_path):
    file = tmp_path / "openapi.yaml"
    file.write_text(OPENAPI)
    document = Document.read(file)
    assert "the function Shop is not here; the route answers 501" in noted(document)
    assert routes_of(document, "shop")["GET /b"].proxy.to == ("http://Host/b",)
    document = Document.read(file, Options(functions={"Shop": "http://127.0.0.1:1"}))
    assert routes_of(document, "shop")["GET /a"].function == "Shop"
    file.write_text(OPENAPI.replace("!Sub 'http://${Host}/b'", "!Sub []"))
    with pytest.raises(ConfigurationError, match=r"openapi.yaml:6: paths\['/b'\].*: expected a list of 2 values"):
        Document.read(file)


def test_a_property_of_a_schema_in_a_document_may_have_the_name_of_a_function(tmp_path):
    file = tmp_path / "openapi.yaml"
    schema = "{M: {type: object, properties: {Ref: {type: string}}}}"
    file.write_text(f"{OPENAPI}components: {{schemas: {schema}}}\n")
    assert routes_of(Document.read(file), "shop")["GET /b"].proxy.to == ("http://Host/b",)


def test_rules_in_short_form_are_accepted(read):
    """They are about the parameters that a person gives in an account."""
    functions = (
        "!Contains [[a], !Ref A], !EachMemberEquals [[a], a], !EachMemberIn [[a], [a]], !RefAll A, !ValueOf [A, B],"
    )
    rules = f"Rules: {{R: {{Assertions: [{functions} !ValueOfAll [A, B]]}}}}"
    assert list(routes_of(read(rules + REST % ("MOCK", MAPPED)))) == ["GET /"]


def test_a_document_as_text(read):
    text = '{"swagger": "2.0", "paths": {"/a": {"get": {"x-amazon-apigateway-integration": {"type": "mock"}}}}}'
    document = read(f"Resources: {{Api: {{Type: AWS::ApiGateway::RestApi, Properties: {{Body: !Sub '{text}'}}}}}}")
    assert list(routes_of(document)) == ["GET /a"]
    broken = read(REST % ("MOCK", "") + "  Other: {Type: AWS::ApiGateway::RestApi, Properties: {Body: 'a text'}}")
    assert "Resources.Other.Properties.Body: this property has no effect" in noted(broken)


def test_a_file_that_the_whole_template_includes(read, tmp_path):
    (tmp_path / "part.yaml").write_text(
        "Parameters: {Kind: {Type: String, Default: MOCK}}\n"
        f"Resources: {{Other: {{Type: AWS::ApiGateway::RestApi, Properties: {{Body: {{paths: {{/a: {{get: {MOCK}}}}}}}}}}}}}"
    )
    transform = "Transform: [{Name: AWS::Include, Parameters: {Location: part.yaml}}, {Name: Mine}]"
    document = read(transform + REST % ("!Ref Kind", MAPPED))
    assert [list(routes_of(document, name)) for name in ("Api", "Other")] == [["GET /"], ["GET /a"]]
    assert "template.yaml:1: warning: Transform: the transform 'Mine' is not applied" in noted(document)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("!Join [',', !Cidr ['192.168.0.0/24', '3', '5']]", "192.168.0.0/27,192.168.0.32/27,192.168.0.64/27"),
        ("!Select [1, !Cidr ['fd00::/56', 2, 64]]", "fd00:0:0:1::/64"),
        ("!Select [1, !Cidr [10.1.0.0/16, 2]]", "10.1.1.0/24"),
        ("!Select [1, !Cidr [!GetAtt Net.CidrBlock, 2, 8]]", "10.0.1.0/24"),
        ("!Select [1, !Cidr [10.1.0.0/16, !Ref Count, 8]]", "10.0.1.0/24"),
        ("!Select [1, !Cidr [10.1.0.0/16, !Sub '${Count}', 8]]", "10.0.1.0/24"),
        ("!Select [1, !Cidr [10.1.0.0/16, 2, '{{resolve:ssm:/bits}}']]", "10.0.1.0/24"),
        ("!Select [0, !GetAZs '']", "eu-west-1a"),
        ("!Select [0, !GetAZs us-east-2]", "us-east-2a"),
    ],
)
def test_blocks_of_addresses_and_zones(tmp_path, value, found):
    file = tmp_path / "template.yaml"
    text = "Parameters: {Count: {Type: Number}}" + REST.replace("name: F", f"value: {value}") % ("MOCK", "")
    file.write_text(text + "  Net: {Type: AWS::EC2::VPC}\n")
    document = Document.read(file, Options({"AWS::Region": "eu-west-1"}))
    assert document.configuration.apis["Api"].stages["live"].variables == {"value": found}


@pytest.mark.parametrize("given", ["10.0.0.0/24, 3, 7", "10.0.0.0/24, 0, 5", "10.0.0.0/24, x, 5", "10.0.0.0/24, 1, 9"])
def test_blocks_that_do_not_fit(read, given):
    with pytest.raises(ConfigurationError, match="expected a block, the number of its parts and the bits of each"):
        read(REST.replace("Name: rest", f"Name: !Select [0, !Cidr [{given}]]") % ("MOCK", ""))


@pytest.mark.parametrize(
    "rate",
    ["!Sub '${Rate}'", "!Sub ['${One}', {One: !Ref Rate}]", "!Select [0, !Ref Rates]", "!Select [0, !Ref Names]"],
)
def test_a_parameter_without_a_default_sets_no_throttle_by_a_function(read, rate):
    kinds = "Rate: {Type: Number}, Rates: {Type: List<Number>}, Names: {Type: CommaDelimitedList}"
    settings = f"MethodSettings: [{{HttpMethod: '*', ResourcePath: '/*', ThrottlingRateLimit: {rate}}}]"
    text = REST.replace("Variables:", f"{settings}, Variables:").replace("name: F", "name: !Sub 'v${Rate}'")
    document = read(f"Parameters: {{{kinds}}}" + text % ("MOCK", ""))
    stage = document.configuration.apis["Api"].stages["live"]
    assert stage.route_throttles == {"*": Throttle(10_000, 5_000)}
    assert stage.variables == {"name": "v0"}
    assert re.search(r"the rate \w+ is not known; 10000 is used without --parameter \w+=VALUE", noted(document))
    assert "the parameter has no default; '0' is used without --parameter" in noted(document)


@pytest.mark.parametrize(
    ("given", "rate"),
    [(".5", 0.5), ("5.", 5), ("1e3", 1000), ("+5", 5), ("5.00000000000000000000", 5), ("1" * 20, None), ("1_0", ...),
     ("nan", ...), ("1e999", ...)],
)  # fmt: skip
def test_a_number_by_parameter_is_written_in_any_form(tmp_path, given, rate):
    """A number that is not a rate may be longer, such as that of an account."""
    file = tmp_path / "template.yaml"
    setting = (
        "" if rate is None else "MethodSettings: [{HttpMethod: '*', ResourcePath: '/*', ThrottlingRateLimit: !Ref N}],"
    )
    text = REST.replace("Variables:", f"{setting} Variables:").replace("name: F", "name: !Ref N") % ("MOCK", "")
    file.write_text("Parameters: {N: {Type: Number}}" + text)
    if rate is ...:
        with pytest.raises(ConfigurationError, match=f"Parameters.N: expected a number, got '{given}'"):
            Document.read(file, Options({"N": given}))
        return
    stage = Document.read(file, Options({"N": given})).configuration.apis["Api"].stages["live"]
    assert (stage.variables, stage.route_throttles) == ({"name": given}, {"*": Throttle(rate, 5_000)} if rate else {})


def test_a_list_by_parameter_may_be_empty(tmp_path):
    file = tmp_path / "template.yaml"
    file.write_text("Parameters: {L: {Type: CommaDelimitedList, AllowedValues: [a, b]}}" + REST % ("MOCK", MAPPED))
    assert routes_of(Document.read(file, Options({"L": ""})))
    with pytest.raises(ConfigurationError, match=r"Parameters\.L: expected one of a, b, got ''"):
        Document.read(file, Options({"L": "a,"}))


@pytest.mark.parametrize("value", ["{a: [true, 2]}", "", "yes"])
def test_variables_of_a_stage_are_texts(read, value):
    found = {"{a: [true, 2]}": '{"a": [true, 2]}', "": "", "yes": "true"}[value]
    document = read((REST % ("MOCK", MAPPED)).replace("name: F", f"name: {value}"))
    assert document.configuration.apis["Api"].stages["live"].variables == {"name": found}


def levels(line, reference):
    """Return six lines, each with four references to the one before it."""
    return "".join(line % (i, ", ".join([reference % (i - 1)] * 4)) for i in range(1, 7))


CONDITIONS = "Conditions:\n  C0: !Equals [a, a]\n" + levels("  C%d: !And [%s]\n", "{Condition: C%d}")
BUCKET = "  B%d: {Type: AWS::S3::Bucket, Properties: {BucketName: !Select [0, [%s]]}}\n"
BUCKETS = "  B0: {Type: AWS::S3::Bucket}\n" + levels(BUCKET, "!Ref B%d")


@pytest.mark.parametrize(("before", "after"), [(CONDITIONS, ""), ("", BUCKETS)])
def test_a_name_is_evaluated_once(read, monkeypatch, before, after):
    calls, resolve = [], Resolver.resolve
    monkeypatch.setattr(Resolver, "resolve", lambda *given: calls.append(given) or resolve(*given))
    read(before + REST % ("MOCK", "") + after)
    assert len(calls) < 500


@pytest.mark.parametrize(
    "given",
    [
        "Type: AWS::ApiGateway::RestApi, Properties: {BodyS3Location: part.yaml}",
        "Type: AWS::Serverless::Api, Properties: {StageName: a, DefinitionUri: part.yaml}",
        "Type: AWS::ApiGateway::RestApi, Properties: {Body: {Fn::Transform: {Name: AWS::Include, Parameters:"
        " {Location: part.yaml}}}}",
    ],
)
def test_a_warning_about_an_included_file_has_its_line_there(read, tmp_path, given):
    (tmp_path / "part.yaml").write_text(f"x: y\npaths:\n  /a:\n    get: {MOCK}\n")
    assert "this mock answers 500" in (note := noted(read(f"Resources:\n  Other: {{{given}}}")))
    assert re.search(r"template.yaml:2: warning: .*paths\['/a'\].get.*\(part.yaml:4\)$", note, re.MULTILINE)


def test_a_warning_about_a_file_at_the_top_has_its_line_there(read, tmp_path):
    """A resource of the template has the line of the template, also where the file has one of its name."""
    mock = "Type: AWS::ApiGateway::RestApi\n    Properties: {Body: {paths: {/a: {get: " + MOCK + "}}}}"
    (tmp_path / "part.yaml").write_text(f"x: y\nResources:\n  Api:\n    {mock}\n  Other:\n    {mock}")
    transform = "Transform: {Name: AWS::Include, Parameters: {Location: part.yaml}}"
    note = noted(read(f"{transform}\nResources:\n  Api:\n    {mock}"))
    assert re.search(r"warning: Resources.Other.*this mock answers 500.*\(part.yaml:8\)$", note, re.MULTILINE)
    assert re.search(r"template.yaml:5: warning: Resources.Api.*this mock answers 500[^()]*$", note, re.MULTILINE)
    (tmp_path / "part.yaml").write_text("x: y\nParameters:\n  N: {Type: Number}\n")
    note = noted(read(f"{transform}\nResources:\n  Api:\n    {mock}"))
    assert re.search(r"Parameters.N: the parameter has no default.*\(part.yaml:3\)$", note, re.MULTILINE)


def test_an_included_file_without_end_is_not_read(read, tmp_path):
    """It is left out with a note, like a file that is not there."""
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(20 * 1024 * 1024)
    for name in ("/dev/zero", "large.yaml", "."):
        added = f"  Other: {{Type: AWS::ApiGateway::RestApi, Properties: {{BodyS3Location: {name}}}}}"
        assert f"the file {name!r} is not here" in noted(read(REST % ("MOCK", "") + added))


# --- functions


@pytest.mark.parametrize(
    ("uri", "added"),
    [
        ("!Ref Alias", "  Alias: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref F, Name: live}}"),
        (invoked("${Alias}"), "  Alias: {Type: AWS::Lambda::Alias, Properties: {FunctionName: !Ref F}}"),
        (invoked("${V}"), "  V: {Type: AWS::Lambda::Version, Properties: {FunctionName: !GetAtt F.Arn}}"),
        (invoked(f"{ARN}:${{stageVariables.name}}"), ""),
        (invoked(f"{ARN}:F:${{stageVariables.alias}}"), ""),
    ],
)  # fmt: skip
def test_names_of_a_function(read, uri, added):
    assert routes_of(read(REST % ("AWS_PROXY", f"Uri: {uri}") + added))["GET /"].function == "F"


def test_a_function_that_differs_by_stage(read):
    uri = invoked(f"{ARN}:${{stageVariables.name}}")
    other = "  S: {Type: AWS::ApiGateway::Stage, Properties: {RestApiId: !Ref Api, StageName: b, Variables: {name: G}}}"
    document = read(REST % ("AWS_PROXY", f"Uri: {uri}") + other)
    assert "the function ${stageVariables.name} is not here; the route answers 501" in noted(document)


def test_a_function_of_another_stack_by_its_parameter(tmp_path):
    file = tmp_path / "template.yaml"
    text = REST % ("AWS_PROXY", f"Uri: {invoked('${Shop}')}")
    file.write_text("Parameters: {Shop: {Type: String}}" + text)
    document = Document.read(file, Options(functions={"Shop": "http://127.0.0.1:1"}))
    assert routes_of(document)["GET /"].function == "Shop"


@pytest.mark.parametrize("auth", ["", "Auth: {DefaultAuthorizer: A, Authorizers: {A: {FunctionArn: !GetAtt F.Arn}}}"])
def test_a_missing_folder_is_one_line_of_the_log(read, caplog, auth):
    """The process of a function prints the traceback of its own exception."""
    app = App(read((SAM % auth).replace("InlineCode: 'b = print'", "CodeUri: gone")).configuration)
    assert app.get("/live/a", headers={"authorization": "me"}).status_code == (500 if auth else 502)
    (record,) = [one for one in caplog.records if one.name == "ratelimit.gateway" and one.levelname == "ERROR"]
    assert record.getMessage().endswith("gone of function F is missing")
    assert not record.exc_info


def test_a_stage_variable_beside_globals_that_are_a_text(read):
    uri = invoked(f"{ARN}:${{stageVariables.name}}")
    document = read("Globals: {Function: a text}" + REST % ("AWS_PROXY", f"Uri: {uri}"))
    assert routes_of(document)["GET /"].function == "F"


def test_globals_are_merged_into_a_function(read):
    """Lists are joined, and a layer that is not here is a warning, also one of Globals."""
    document = read(
        "Globals: {Function: {Layers: [arn:far, !Ref One], Environment: {Variables: {a: b}}}}"
        + (SAM % "").replace("InlineCode", "Layers: [!Ref Two], Environment: {Variables: {c: d}}, InlineCode")
        + """
  One: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: one}}
  Two: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: two}}
"""
    )
    function = document.configuration.functions["F"]
    assert [Path(one).name for one in function.layers] == ["one", "two"]
    assert function.environment == {"a": "b", "c": "d"}
    assert "the layer 'arn:far' is not here" in noted(document)


def test_a_function_in_an_archive_is_a_warning_of_its_own(read, tmp_path):
    (tmp_path / "code.zip").write_bytes(b"")
    document = read((SAM % "").replace("InlineCode: 'b = print'", "CodeUri: code.zip"))
    assert "the code of F is in the archive code.zip: unpack it, and give its folder" in noted(document)
    assert routes_of(document)["GET /a"].mock.status == 501


# --- stages, plans and keys


def test_a_stage_of_a_deployment(read):
    document = read(
        (REST % ("MOCK", "")).replace("Stage:", "S:")
        + """
  Deployment:
    Type: AWS::ApiGateway::Deployment
    Properties: {RestApiId: !Ref Api, StageName: v1, DeploymentCanarySettings: {PercentTraffic: 5},
      StageDescription: {ThrottlingRateLimit: 3, ThrottlingBurstLimit: 4, Variables: {a: b}, MethodSettings: [
        {ResourcePath: /, HttpMethod: GET, ThrottlingRateLimit: 1, ThrottlingBurstLimit: 2},
        {ResourcePath: /none, HttpMethod: PUT, ThrottlingRateLimit: 1, ThrottlingBurstLimit: 2}]}}
"""
    )
    stage = document.configuration.apis["Api"].stages["v1"]
    assert stage.route_throttles == {"*": Throttle(3, 4), "GET /": Throttle(1, 2)}
    assert stage.canary.percent == 5
    assert stage.variables == {"a": "b"}
    assert "Deployment.Properties: the throttle of 'PUT /none' has no route" in noted(document)


PLAN = "Auth: {ApiKeyRequired: true, UsagePlan: {CreateUsagePlan: PER_API, Throttle: {RateLimit: 1, BurstLimit: 1}}}"
KEY = """
  Key: {Type: AWS::ApiGateway::ApiKey, Properties: {Value: abcdefghijklmnopqrst, StageKeys: [{StageName: live}]}}
  Link: {Type: AWS::ApiGateway::UsagePlanKey, Properties: {KeyId: !Ref Key, KeyType: API_KEY, UsagePlanId: %s}}
"""


@pytest.mark.parametrize("plan", ["!Ref ApiUsagePlan", "!Ref Api.UsagePlan"])
def test_keys_of_a_plan_that_sam_makes(read, plan):
    document = read(SAM % PLAN + KEY % plan)
    assert list(document.configuration.plans["ApiUsagePlan"].keys) == ["ApiApiKey", "Key"]
    assert "StageKeys: a key belongs to a stage by a usage plan alone" in noted(document)


UUID = "0a1b2c3d-0000-4000-8000-0123456789ab"


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (UUID, ""),
        ("short", ": the given one is not 20 to 128 printable ASCII characters"),
        (
            "'{{resolve:secretsmanager:keys:SecretString:a}}'",
            ": the given one is not known without --parameter resolve:",
        ),
        ("!Ref TheValueOfThisKey0000", ": the given one is not known without --parameter TheValue"),
        ("!Ref AWS::NoValue", ""),
    ],
)
def test_the_value_of_a_key(read, value, note):
    text = SAM % PLAN + (KEY % "!Ref ApiUsagePlan").replace("abcdefghijklmnopqrst", value)
    document = read("Parameters: {TheValueOfThisKey0000: {Type: String}}" + text)
    key = document.configuration.api_keys["Key"]
    assert (key == value) is (value == UUID)
    assert (f"the value of the API key Key is {key}{note}" in noted(document)) is (value != UUID)


def test_a_key_without_its_plan_and_a_plan_without_its_key(read):
    document = read(SAM % PLAN + KEY % "elsewhere")
    assert "the plan 'elsewhere' of the API keys Key is not here" in noted(document)
    document = read(SAM % PLAN + (KEY % "!Ref ApiUsagePlan").replace("!Ref Key", "imported"))
    assert "the API key 'imported' of the plan 'ApiUsagePlan' is not here" in noted(document)


# --- SAM


@pytest.mark.parametrize(
    ("flags", "authorizer", "keyed"),
    [
        ("", "Own", True),
        ("AddDefaultAuthorizerToCorsPreflight: false", None, True),
        ("AddApiKeyRequiredToCorsPreflight: false", "Own", False),
    ],
)
def test_what_preflights_require(read, flags, authorizer, keyed):
    auth = "DefaultAuthorizer: Own, Authorizers: {Own: {FunctionArn: !GetAtt F.Arn}}, ApiKeyRequired: true"
    document = read(SAM % f"Cors: \"'*'\", Auth: {{{auth}, {flags}}}")
    preflight = routes_of(document)["OPTIONS /a"]
    assert (preflight.authorizer, preflight.api_key_required) == (authorizer, keyed)
    own = read((SAM % f"Auth: {{{auth}, {flags}}}").replace("Method: GET", "Method: OPTIONS"))
    assert routes_of(own)["OPTIONS /a"].authorizer == authorizer


def test_an_authorizer_that_has_the_name_of_signatures(read):
    document = read(HTTP % ("Auth: {Authorizer: AWS_IAM}", f"Auth: {{Authorizers: {{AWS_IAM: {JWT}}}}}"))
    assert routes_of(document)["GET /a"].authorizer == "AWS_IAM"
    assert not document.warnings


def test_an_event_on_a_route_of_an_http_document(read):
    """The route has the integration of the document and all else of the event."""
    settings = "TimeoutInMillis: 1000, RouteSettings: {ThrottlingRateLimit: 3}"
    event = f"{settings}, Auth: {{Authorizer: Own, AuthorizationScopes: [write]}}"
    document = read(HTTP % (event, f"{OWN}}}, {DOCUMENT % ''}"))
    route = routes_of(document)["GET /a"]
    assert (route.proxy.to, route.proxy.timeout) == (("http://127.0.0.1:1",), 1)
    assert (route.authorizer, route.scopes) == ("Own", ("write",))
    assert document.configuration.apis["Api"].stages["$default"].route_throttles == {"GET /a": Throttle(3, 5000)}


def test_an_event_changes_the_payload_of_a_function_of_a_document(read):
    proxied = DOCUMENT.replace("type: http_proxy, uri: 'http://127.0.0.1:1'", "type: aws_proxy, uri: !GetAtt F.Arn")
    event = "TimeoutInMillis: 1000, PayloadFormatVersion: '2.0'"
    route = routes_of(read(HTTP % (event, proxied % "")))["GET /a"]
    assert (route.timeout, route.payload_format) == (1, "2.0")
    assert routes_of(read(HTTP % ("", proxied % "")))["GET /a"].payload_format == "1.0"


def test_an_event_overrides_the_default_of_its_api(read):
    defaults = f"{OWN}, DefaultAuthorizer: Own}}, {DOCUMENT % ''}"
    assert routes_of(read(HTTP % ("", defaults)))["GET /a"].authorizer == "Own"
    assert routes_of(read(HTTP % ("Auth: {Authorizer: Other}", defaults)))["GET /a"].authorizer == "Other"
    assert routes_of(read(HTTP % ("Auth: {Authorizer: NONE}", defaults)))["GET /a"].authorizer is None


@pytest.mark.parametrize("event", ["", "Auth: {Authorizer: Gone}"])
def test_a_route_whose_authorizer_is_not_here_is_closed(read, event):
    """SAM refuses such a template."""
    own = OWN if event else f"{OWN}, DefaultAuthorizer: Gone"
    document = read(HTTP % (event, f"{own}}}"))
    assert routes_of(document)["GET /a"].mock.status == 501
    assert "the authorizer 'Gone' is not here; the route answers 501" in noted(document)


SCHEMES = """{cut: {type: apiKey, name: a, in: header, x-amazon-apigateway-authorizer: {type: x}}, plain: {type: http},
  typed: {type: apiKey, name: a, in: header, x-amazon-apigateway-authtype: custom},
  signed: {type: apiKey, name: a, in: header, x-amazon-apigateway-authtype: awsSigv4},
  key: {type: apiKey, name: x-api-key, in: header}}"""


@pytest.mark.parametrize(
    ("security", "name"),
    [
        ("{cut: []}", "cut"),
        ("{typed: []}", "typed"),
        ("{plain: []}, {cut: []}", "cut"),
        ("{cut: [], key: []}", "cut"),
        ("{cut: []}, {key: []}", None),
        ("{plain: []}", None),
        ("{undeclared: []}", None),
        ("{signed: []}", None),
        ("{AWS_IAM: []}", None),
        ("{cut: []}, {NONE: []}", None),
    ],
)
def test_an_operation_whose_authorizer_is_not_here_is_closed(read, security, name):
    operation = f"{{security: [{security}], {INTEGRATION}}}"
    body = f"Body: {{components: {{securitySchemes: {SCHEMES}}}, paths: {{/a: {{get: {operation}}}}}}}"
    document = read(f"Resources: {{Api: {{Type: AWS::ApiGateway::RestApi, Properties: {{{body}}}}}}}")
    route = routes_of(document)["GET /a"]
    if name is None:
        assert route.proxy
        assert "is not checked" in noted(document)
    else:
        assert route.mock.status == 501
        assert f"paths['/a'].get: the authorizer {name!r} is not here; the route answers 501" in noted(document)


@pytest.mark.parametrize("merged", ["MergeDefinitions: true,", ""])
def test_an_event_does_not_open_an_operation_that_is_closed(read, merged):
    declared = DOCUMENT.replace("openapi: 3.0.1", f"openapi: 3.0.1, components: {{securitySchemes: {SCHEMES}}}")
    document = read(rest("", f"{merged} {declared % 'security: [{cut: []}]'}"))
    assert routes_of(document)["GET /a"].mock.status == 501


@pytest.mark.parametrize(
    ("kind", "closed"), [("CUSTOM", True), ("COGNITO_USER_POOLS", True), ("JWT", True), ("AWS_IAM", False)]
)
def test_a_method_or_route_whose_authorizer_is_not_here_is_closed(read, kind, closed):
    auth = f"AuthorizationType: {kind}, AuthorizerId: abc123"
    for template in (REST % ("MOCK", f"{MAPPED}}}, {auth}, Other: {{"), V2 % ("HTTP", "GET /a", auth)):
        document = read(template)
        (route,) = routes_of(document).values()
        assert (route.mock is not None and route.mock.status == 501) is closed
        assert ("the authorizer 'abc123' is not here; the route answers 501" in noted(document)) is closed


def test_clients_of_a_websocket_whose_authorizer_is_not_here_are_refused(read):
    document = read(V2 % ("WEBSOCKET", "$connect", "AuthorizationType: CUSTOM, AuthorizerId: abc123"))
    assert routes_of(document)["$connect"].mock.status == 501
    assert "clients are connected" not in noted(document)


def rest(event, api):
    """A template with an event of a REST API."""
    return (SAM % api).replace("RestApiId: !Ref Api", f"RestApiId: !Ref Api, {event}")


POOL = "UserPoolArn: arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_a"
REST_AUTH = f"Auth: {{ApiKeyRequired: %s, Authorizers: {{Own: {{{POOL}}}}}}}"


def test_an_event_on_a_route_of_a_rest_document(read):
    """It changes the route only with OverrideApiAuth, otherwise a warning names what has no effect."""
    event = "Auth: {Authorizer: Own, ApiKeyRequired: true, OverrideApiAuth: %s}, TimeoutInMillis: 1000"
    overridden = routes_of(read(rest(event % "true", f"{REST_AUTH % 'false'}, {DOCUMENT % ''}")))["GET /a"]
    assert (overridden.authorizer, overridden.api_key_required) == ("Own", True)
    assert overridden.proxy.to == ("http://127.0.0.1:1",)
    document = read(rest(event % "false", f"{REST_AUTH % 'false'}, {DOCUMENT % ''}"))
    assert (routes_of(document)["GET /a"].authorizer, routes_of(document)["GET /a"].api_key_required) == (None, False)
    assert "Events.E: without effect, as the document has the route of this event: Auth, TimeoutInMillis" in noted(
        document
    )
    freed = "Auth: {ApiKeyRequired: false, OverrideApiAuth: true}"
    document = read(rest(freed, f"{REST_AUTH % 'true'}, {DOCUMENT % ''}"))
    assert not routes_of(document)["GET /a"].api_key_required


def test_an_event_that_is_merged_into_a_document(read):
    event = "Auth: {Authorizer: Own}, TimeoutInMillis: 1000"
    secured = DOCUMENT.replace("openapi", "securityDefinitions: {key: {type: apiKey, name: x-api-key}}, openapi")
    api = f"MergeDefinitions: true, {REST_AUTH % 'false'}, {secured % 'security: [{key: []}]'}"
    route = routes_of(read(rest(event, api)))["GET /a"]
    assert (route.function, route.timeout, route.authorizer, route.api_key_required) == ("F", 1, "Own", True)


def test_an_event_adds_no_route_beside_a_document(read):
    template = rest("", DOCUMENT % "").replace("Path: /a", "Path: /b")
    for text in (template, template.replace("Serverless::Api", "ApiGateway::RestApi").replace("DefinitionB", "B")):
        document = read(text)
        assert list(routes_of(document)) == ["GET /a"]
        assert "Events.E: this event makes no route" in noted(document)


def test_an_event_adds_a_route_in_place_of_a_document_that_is_not_here(read):
    document = read(rest("", "DefinitionUri: none.yaml"))
    assert routes_of(document)["GET /a"].function == "F"


def test_the_default_authorizer_of_an_http_api_leaves_preflights_out(read):
    template = HTTP.replace("GET", "OPTIONS") % ("%s", f"{OWN}, DefaultAuthorizer: Own}}")
    assert routes_of(read(template % ""))["OPTIONS /a"].authorizer is None
    assert routes_of(read(template % "Auth: {Authorizer: Other}"))["OPTIONS /a"].authorizer == "Other"


@pytest.mark.parametrize(("kind", "auth"), [("http", OWN), ("rest", f"Auth: {{Authorizers: {{Own: {{{POOL}}}}}")])
def test_a_document_leaves_the_default_authorizer_out(read, kind, auth):
    template = HTTP if kind == "http" else rest("%s", "%s")
    open_ = "security: [{NONE: []}], x-amazon-apigateway-auth: {type: none}"
    document = read(template % ("", f"{auth}, DefaultAuthorizer: Own}}, {DOCUMENT % open_}"))
    assert routes_of(document)["GET /a"].authorizer is None
    assert not document.warnings


@pytest.mark.parametrize("cors", ["{AllowMethods: \"'GET'\"}", "{AllowOrigin: \"'*'\", AllowMethods: \"'GET'\"}"])
def test_preflights_allow_every_origin_by_default(read, cors):
    headers = routes_of(read(SAM % f"Cors: {cors}"))["OPTIONS /a"].mock.headers
    assert headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("cors", ["{AllowCredentials: true}", "{AllowOrigin: \"'*'\", AllowCredentials: true}"])
def test_credentials_of_every_origin_are_an_error(read, cors):
    with pytest.raises(ConfigurationError, match=r"yaml:6: .*Cors: expected an AllowOrigin other than '\*'"):
        read(SAM % f"Cors: {cors}")
    named = routes_of(read(SAM % f"Cors: {cors[:-1]}, AllowOrigin: \"'https://shop.example'\"}}"))["OPTIONS /a"]
    assert named.mock.headers["Access-Control-Allow-Credentials"] == "true"


def test_two_events_with_one_route_are_an_error(read):
    twice = "RestApiId: !Ref Api}}, T: {Type: Api, Properties: {Path: %s, Method: get, RestApiId: !Ref Api}}"
    template = (SAM % "").replace("RestApiId: !Ref Api}}", twice, 1)
    with pytest.raises(ConfigurationError, match=r"yaml:5: .*Events\.T: another event has the route GET /a"):
        read(template % "/a")
    assert "Events.T: another event has the route GET /a" in noted(read(template % "/a/"))


@pytest.mark.parametrize(("normal", "path"), [("", "/v1x"), (", NormalizeBasePath: false", "/v1-x")])
def test_the_base_path_of_a_domain(read, normal, path):
    document = read(SAM % f"Domain: {{DomainName: a.example, BasePath: [v1-x]{normal}}}")
    assert document.configuration.domains["a.example"] == {path: "Api/live"}


def test_the_base_path_of_a_domain_of_an_http_api(read):
    document = read(HTTP % ("", "Domain: {DomainName: a.example, BasePath: [/my-shop/v1, v2/]}"))
    assert document.configuration.domains["a.example"] == {"/my-shop/v1": "Api/$default", "/v2": "Api/$default"}


def test_certificates_of_clients_of_a_domain_are_a_warning(read):
    document = read(
        SAM % "Domain: {DomainName: a.example, CertificateArn: b, MutualTlsAuthentication: {TruststoreUri: c}}"
    )
    assert "Domain.MutualTlsAuthentication: clients' certificates are not asked for" in noted(document)
    assert len(document.warnings) == 1


def test_a_user_pool_that_is_not_known_is_a_warning(read):
    auth = "Auth: {DefaultAuthorizer: Own, Authorizers: {Own: {UserPoolArn: %s}}}"
    document = read("Parameters: {Pool: {Type: String}}" + SAM % (auth % "!Ref Pool"))
    assert "Authorizers.Own: no token is accepted: 'Pool' names no user pool of an account" in noted(document)
    assert not read(SAM % (auth % POOL.partition(": ")[2])).warnings


@pytest.mark.parametrize(("mode", "path"), [("ignore", "/a"), ("prepend", "/v1/x/a"), ("split", "/x/a")])
@pytest.mark.parametrize(
    "base",
    ["basePath: /v1/x", "servers: [{url: 'https://b.example/{basePath}', variables: {basePath: {default: v1/x}}}]"],
)
def test_the_base_path_of_a_document(read, mode, path, base):
    body = f"Body: {{{base}, paths: {{/a: {{get: {MOCK}}}}}}}"
    for api in (
        f"{{Type: AWS::ApiGateway::RestApi, Properties: {{Parameters: {{basepath: {mode}}}, {body}}}}}",
        f"{{Type: AWS::ApiGatewayV2::Api, Properties: {{BasePath: {mode}, {body}}}}}",
    ):
        document = read(f"Resources: {{Api: {api}}}")
        assert list(routes_of(document)) == [f"GET {path}"]
        assert "no effect" not in noted(document)


def test_a_base_path_is_that_of_a_server(read):
    servers = "servers: [{url: 'https://b.example/v1/'}]"
    for mode, path in (("prepend", "/v1"), ("split", "/")):
        body = f"Parameters: {{basepath: {mode}}}, Body: {{{servers}, paths: {{/: {{get: {MOCK}}}}}}}"
        document = read(f"Resources: {{Api: {{Type: AWS::ApiGateway::RestApi, Properties: {{{body}}}}}}}")
        assert list(routes_of(document)) == [f"GET {path}"]


@pytest.mark.parametrize(
    ("server", "path"),
    [
        ("{url: 'https://x.example/{basePath}', variables: {basePath: {default: ''}}}", "/a"),
        ("{url: 'https://x.example/{basePath}', variables: {basePath: {default: /}}}", "/a"),
        ("{url: 'https://x.example/{basePath}'}", "/a"),
        ("{url: 'https://x.example/{stage}/v1'}", "/v1/a"),
        ("{url: 'https://{host}/{stage}/v1', variables: {stage: {default: live}}}", "/live/v1/a"),
    ],
)
def test_variables_of_a_server_have_their_defaults(read, server, path):
    body = f"Parameters: {{basepath: prepend}}, Body: {{servers: [{server}], paths: {{/a: {{get: {MOCK}}}}}}}"
    document = read(f"Resources: {{Api: {{Type: AWS::ApiGateway::RestApi, Properties: {{{body}}}}}}}")
    assert list(routes_of(document)) == [f"GET {path}"]


# --- gateway responses


def test_headers_of_gateway_responses_are_evaluated(read):
    headers = "{A: \"'*'\", B: method.request.header.Origin, C: context.requestId, D: stageVariables.d, E: plain}"
    document = read(
        SAM % f"Variables: {{d: e}}, GatewayResponses: {{DEFAULT_4XX: {{ResponseParameters: {{Headers: {headers}}}}}}}"
    )
    found = document.configuration.apis["Api"].responses["DEFAULT_4XX"].headers
    assert found == {"A": "*", "B": "$request.header.Origin", "C": "$context.requestId", "D": "${stageVariables.d}"}
    assert "GatewayResponses.DEFAULT_4XX: the header 'E' with 'plain' is not sent" in noted(document)
    answer = App(document.configuration).get("/live/none", headers={"origin": "https://a.example"})
    assert (answer.status_code, answer.headers["b"]) == (403, "https://a.example")
    assert answer.headers["c"] == answer.headers["x-amzn-requestid"]


@pytest.mark.parametrize("kind", ["DEFAULT_4xx", "default_4XX"])
def test_a_default_gateway_response_may_be_in_lower_case(read, kind):
    document = read(SAM % f"GatewayResponses: {{{kind}: {{StatusCode: 418}}}}")
    assert document.configuration.apis["Api"].responses["DEFAULT_4XX"].status == 418
    assert noted(document) == ""


# --- backends


def test_the_method_of_a_backend(read):
    document = read(REST % ("HTTP_PROXY", "IntegrationHttpMethod: PUT, Uri: 'http://127.0.0.1:1/x'"))
    assert routes_of(document)["GET /"].proxy.method == "PUT"
    document = read(REST % ("HTTP_PROXY", "IntegrationHttpMethod: HEAD, Uri: 'http://127.0.0.1:1/x'"))
    assert "the backend gets the method of the request, not HEAD" in noted(document)


@pytest.mark.parametrize(
    ("kind", "properties", "note"),
    [
        ("HTTP", "IntegrationResponses: [{StatusCode: 200}]", "mappings of answers by status are not emulated"),
        ("HTTP", "", "the backend gets all headers and parameters of the query, also those without a mapping"),
        ("HTTP_PROXY", "TlsConfig: {ServerNameToVerify: a}", "is checked for the host of the address alone"),
        ("HTTP_PROXY", "ContentHandling: CONVERT_TO_TEXT", "bodies are not converted: CONVERT_TO_TEXT has no effect"),
    ],
)
def test_what_a_backend_is_not_given(read, kind, properties, note):
    document = read(REST % (kind, f"IntegrationHttpMethod: GET, Uri: 'http://127.0.0.1:1/x', {properties}"))
    assert note in noted(document)


def test_a_certificate_that_is_not_checked(read):
    security = "TlsConfig: {InsecureSkipVerification: true}"
    document = read(REST % ("HTTP_PROXY", f"IntegrationHttpMethod: GET, Uri: 'https://127.0.0.1:1/x', {security}"))
    assert routes_of(document)["GET /"].proxy.verify is False


@pytest.mark.parametrize(
    "properties",
    [
        "",
        "RequestTemplates: {application/json: '{}'}",
        """RequestTemplates: {application/json: '{"statusCode": "200"}'}""",
    ],
)
def test_a_mock_without_a_status_answers_500(read, properties):
    document = read(REST % ("MOCK", properties))
    assert App(document.configuration).get("/live").status_code == 500
    assert "Get.Properties.Integration: this mock answers 500, as there: its request template has no" in noted(document)
    assert routes_of(read(REST % ("MOCK", MAPPED)))["GET /"].mock.status == 200


@pytest.mark.parametrize(
    ("kind", "properties", "note"),
    [
        (
            "MOCK",
            f"{MAPPED}, Unheard: 1",
            "template.yaml:6: warning: Resources.Get.Properties.Integration.Unheard: this",
        ),
        (
            "MOCK",
            f"{MAPPED}, PassthroughBehavior: NEVER",
            "Integration.PassthroughBehavior: a request of another content",
        ),
        (
            "HTTP_PROXY",
            "Uri: 'http://a.example', ResponseTransferMode: STREAM",
            "Integration.ResponseTransferMode: this",
        ),
        ("HTTP_PROXY", "Uri: 'http://a.example', PassthroughBehavior: NEVER, Credentials: a, CacheNamespace: b", ""),
    ],
)
def test_a_property_of_an_integration_without_effect_is_a_warning(read, kind, properties, note):
    document = read(REST % (kind, properties))
    assert note in noted(document)
    assert bool(document.warnings) is bool(note)


@pytest.mark.parametrize(
    "kind",
    [
        "ApiGateway::ClientCertificate", "ApiGateway::VpcLink", "ApiGatewayV2::IntegrationResponse",
        "ApiGatewayV2::Model", "ApiGatewayV2::RoutingRule", "ApiGatewayV2::VpcLink",
    ],
)  # fmt: skip
def test_a_resource_without_effect_is_noted(read, kind):
    document = read(REST % ("MOCK", "") + f"  Other: {{Type: AWS::{kind}}}\n")
    assert "Resources.Other.Properties: a resource of this kind has no effect here" in noted(document)


def test_a_transform_that_is_not_applied_is_noted(read):
    assert "'AWS::CodeDeployBlueGreen' is not applied" in noted(
        read("Transform: AWS::CodeDeployBlueGreen" + REST % ("MOCK", ""))
    )


def test_a_source_of_keys_is_noted(read):
    note = "a key is that of the authorizer's answer, or else of the header x-api-key"
    assert note in noted(read(REST.replace("Name: rest", "ApiKeySourceType: AUTHORIZER") % ("MOCK", "")))
    assert note in noted(read(SAM % "DefinitionBody: {openapi: 3.0.0, x-amazon-apigateway-api-key-source: AUTHORIZER}"))
    assert note not in noted(read(REST.replace("Name: rest", "ApiKeySourceType: HEADER") % ("MOCK", "")))


@pytest.mark.parametrize(
    ("templates", "is_noted"),
    [("", False), (", RequestTemplates: {'200': '{\"statusCode\": 200}'}", False),
     (", RequestTemplates: {'200': '{\"statusCode\": 403}'}", True)],
)  # fmt: skip
def test_the_templates_of_a_mock_of_a_websocket_are_noted(read, templates, is_noted):
    document = read(f"""
Resources:
  Api: {{Type: AWS::ApiGatewayV2::Api, Properties: {{ProtocolType: WEBSOCKET}}}}
  I: {{Type: AWS::ApiGatewayV2::Integration, Properties: {{ApiId: !Ref Api, IntegrationType: MOCK{templates}}}}}
  R: {{Type: AWS::ApiGatewayV2::Route, Properties: {{ApiId: !Ref Api, RouteKey: x, Target: !Sub 'integrations/${{I}}'}}}}
""")
    assert ("Resources.I.Properties: the templates of this mock have no effect" in noted(document)) is is_noted


# --- APIs of other stacks


def test_parts_of_an_api_of_another_stack(read):
    document = read("""
Parameters: {Root: {Type: String}}
Resources:
  Pets: {Type: AWS::ApiGateway::Resource, Properties: {RestApiId: !ImportValue 'the:api', ParentId: !Ref Root, PathPart: pets}}
  Get: {Type: AWS::ApiGateway::Method, Properties: {RestApiId: !ImportValue 'the:api', ResourceId: !Ref Pets,
    HttpMethod: GET, Integration: {Type: MOCK}}}
  Route: {Type: AWS::ApiGatewayV2::Route, Properties: {ApiId: abc123, RouteKey: GET /a, Target: !Sub 'integrations/${I}'}}
  I: {Type: AWS::ApiGatewayV2::Integration, Properties: {ApiId: abc123, IntegrationType: HTTP_PROXY,
    IntegrationMethod: ANY, IntegrationUri: 'http://127.0.0.1:1'}}
""")
    assert list(routes_of(document, "the-api")) == ["GET /pets"]
    assert list(routes_of(document, "abc123")) == ["GET /a"]
    assert "Get.Properties: the API 'the:api' is of another stack: it is served with the parts of this one" in noted(
        document
    )
    assert "Get.Properties: the path of 'Root' is not known, so it is taken as the root" in noted(document)
