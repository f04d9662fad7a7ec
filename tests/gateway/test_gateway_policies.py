"""Resource policies: which callers of a REST API are admitted."""

import json
import time

import pytest
from gateway_harness import App

from ratelimit.gateway import ConfigurationError
from ratelimit.gateway.access.policies import decide

ARN = "arn:aws:execute-api:us-east-1:123456789012:Shop/prod/GET/pets/7"
INSIDE, OUTSIDE = "10.1.2.3", "192.0.2.1"
ALLOW = {"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/*"}
IP = {"aws:SourceIp": ["10.0.0.0/8", "2001:db8::/32"]}
VPC = {"aws:SourceVpce": "vpce-1"}


def statement(effect="Allow", **more):
    return {**ALLOW, "Effect": effect, **more}


def decided(*statements, client=OUTSIDE):
    return decide({"Statement": list(statements)}, ARN, client)


# --- the evaluator


@pytest.mark.parametrize(
    ("resource", "covers"),
    [
        ("execute-api:/*", True),
        ("execute-api:/prod/GET/pets/*", True),
        ("execute-api:/prod/*/pets/7", True),
        ("execute-api:/*/GET/pets/?", True),
        ("execute-api:/test/*", False),
        ("execute-api:/prod/POST/pets/*", False),
        ("execute-api:/GET/pets/*", False),
        ("*", True),
        ("arn:aws:execute-api:*:*:*/prod/*", True),
        ("arn:aws:execute-api:eu-west-1:*:*/prod/*", False),
        ("arn:aws:s3:::*", False),
    ],
)
def test_the_resources_of_a_statement(resource, covers):
    assert decided(statement(Resource=resource)) is (True if covers else None)
    assert decided(ALLOW, statement("Deny", Resource=["a", resource])) is not covers
    without = {name: value for name, value in ALLOW.items() if name != "Resource"}
    assert decided({**without, "NotResource": resource}) is (None if covers else True)


@pytest.mark.parametrize("resource", ["arn:aws:execute-api:*:*:*/prod/GET/x", "execute-api:/*/a/*/a/*/a/*/x"])
@pytest.mark.parametrize("text", [":", "/a", "/a:"])
def test_a_long_path_takes_no_long_time(resource, text):
    """With patterns that go back, some of these took minutes."""
    began = time.process_time()
    for size in (4_000, 20_000):
        decide({"Statement": [statement(Resource=resource)]}, ARN + text * size, OUTSIDE)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("condition", "client", "holds"),
    [
        ({"IpAddress": IP}, INSIDE, True),
        ({"IpAddress": IP}, OUTSIDE, False),
        ({"IpAddress": IP}, "2001:db8::1", True),
        ({"IpAddress": IP}, "::ffff:10.0.0.1", True),
        ({"IpAddress": {"AWS:sourceip": "192.0.2.1/24"}}, OUTSIDE, True),
        ({"NotIpAddress": IP}, INSIDE, False),
        ({"NotIpAddress": IP}, OUTSIDE, True),
        ({"IpAddressIfExists": IP}, OUTSIDE, False),
        ({"ForAnyValue:IpAddress": IP}, INSIDE, True),
        ({"IpAddress": IP, "StringEquals": VPC}, INSIDE, False),
        ({"IpAddress": IP, "StringNotEquals": VPC}, INSIDE, True),
        ({"Null": {"aws:SourceIp": "false"}}, INSIDE, True),
        ({"StringEquals": VPC}, INSIDE, False),
        ({"StringEqualsIfExists": VPC}, INSIDE, True),
        ({"StringNotEquals": VPC}, INSIDE, True),
        ({"ForAllValues:StringNotEquals": VPC}, INSIDE, True),
        ({"ForAnyValue:StringNotEquals": VPC}, INSIDE, False),
        ({"ForAnyValue:ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::1:*"}}, INSIDE, False),
        ({"ForAnyValue:StringEqualsIfExists": VPC}, INSIDE, True),
        ({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::1:*"}}, INSIDE, True),
        ({"Null": {"aws:PrincipalOrgID": "true"}}, INSIDE, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, INSIDE, False),
        ({"Bool": {"aws:SecureTransport": True}}, INSIDE, True),
        # A value that is not known: no statement allows by it, and each denies by it.
        ({"IpAddress": IP}, "", None),
        ({"NotIpAddress": IP}, "", None),
        ({"StringLike": {"aws:UserAgent": "curl*"}}, INSIDE, None),
        ({"StringEquals": {"aws:SourceIp": INSIDE}}, INSIDE, None),
        ({"IpAddress": IP, "DateLessThan": {"aws:CurrentTime": "2020-01-01"}}, INSIDE, None),
        ({"IpAddress": IP, "DateLessThan": {"aws:CurrentTime": "2020-01-01"}}, OUTSIDE, False),
        ({"": {"aws:SourceIp": INSIDE}}, INSIDE, None),
    ],
)
def test_the_condition_of_a_statement(condition, client, holds):
    assert decided(statement(Condition=condition), client=client) is (True if holds else None)
    assert decided(ALLOW, statement("Deny", Condition=condition), client=client) is (holds is False)


@pytest.mark.parametrize(
    ("principal", "allows", "denies"),
    [
        ({"Principal": "*"}, True, True),
        ({"Principal": {"AWS": "*"}}, True, True),
        ({"Principal": {"AWS": ["arn:aws:iam::1:root", "*"]}}, True, True),
        ({"Principal": {"AWS": "arn:aws:iam::111122223333:root"}}, None, False),
        ({"Principal": {"Service": "*"}}, None, False),
        ({"NotPrincipal": {"AWS": "111122223333"}}, None, True),
    ],
)
def test_the_principal_of_a_statement(principal, allows, denies):
    plain = {name: value for name, value in ALLOW.items() if name != "Principal"}
    assert decided({**plain, **principal}) is allows
    assert decided(ALLOW, {**plain, "Effect": "Deny", **principal}) is not denies


# --- our own file


OWN = """
apis:
  shop:
    type: rest
    policy:
      Statement:
      - {Effect: Allow, Principal: "*", Action: "execute-api:*", Resource: "execute-api:/*/GET/*"}
      - {Effect: Deny, Principal: "*", Action: execute-api:Invoke, Resource: "execute-api:/*/GET/in/*",
         Condition: {NotIpAddress: {aws:SourceIp: 10.0.0.0/8}}}
    routes:
      GET /out: {mock: {body: out}}
      GET /in/{id}: {mock: {body: in}}
      POST /out: {mock: {body: out}}
    stages: {prod: {throttle: {rate: 1, burst: 1}}}
"""


def test_a_policy_admits_what_it_allows_and_does_not_deny(read):
    app = App(read(OWN.replace("{throttle: {rate: 1, burst: 1}}", "")).configuration)
    assert [app.get(f"/prod/{path}", client=INSIDE).status_code for path in ("out", "in/1")] == [200, 200]
    assert app.get("/prod/out").status_code == 200
    name = "arn:aws:execute-api:us-east-1:********9012:shop/prod"
    message = f"User: anonymous is not authorized to perform: execute-api:Invoke on resource: {name}"
    explicit, implicit = app.get("/prod/in/1"), app("POST", "/prod/out", client=INSIDE)
    assert (explicit.status_code, implicit.status_code) == (403, 403)
    assert explicit.json() == {"message": f"{message}/GET/in/1 with an explicit deny"}
    assert implicit.json() == {"message": f"{message}/POST/out"}
    assert explicit.headers["x-amzn-errortype"] == "AccessDeniedException"


@pytest.mark.parametrize("path", ["/prod/out", "/prod/out/"])
def test_a_path_with_a_trailing_slash_has_the_policy_and_the_throttle_of_its_route(read, path):
    app = App(read(OWN).configuration)
    assert [app.get(one).status_code for one in (path, "/prod/out", "/prod/out/")] == [200, 429, 429]
    app = App(read(OWN.replace("GET/in/*", "GET/out")).configuration)
    assert [app.get(path, client=client).status_code for client in (INSIDE, OUTSIDE)] == [200, 403]


def test_a_request_that_a_policy_denies_spends_nothing(read):
    app = App(read(OWN).configuration)
    assert [app.get("/prod/in/1").status_code for _ in range(3)] == [403] * 3
    assert app.get("/prod/out").status_code == 200


@pytest.mark.parametrize(
    ("authorizer", "policy", "status"),
    [
        ("Allow", "Allow", 200),
        ("Allow", None, 200),  # the policy is silent
        (None, "Allow", 200),
        (None, None, 403),
        ("Allow", "Deny", 403),
        ("Deny", "Allow", 403),
        (True, None, 200),
        (False, "Allow", 403),
    ],
)
def test_a_policy_and_the_answer_of_an_authorizer_are_weighed_together(authorizer, policy, status):
    asked = []

    def own(event):
        asked.append(event)
        if isinstance(authorizer, bool):
            return authorizer
        other = {**ALLOW, "Resource": "arn:aws:execute-api:*:*:*/other/*"}
        return {"policyDocument": {"Statement": [statement(authorizer, Resource="*") if authorizer else other]}}

    from ratelimit.gateway import Api, Authorizer, Configuration, Mock, Route, Stage

    routes = {"GET /": Route(mock=Mock(), authorizer="own")}
    resource = "execute-api:/other/*" if policy is None else "*"
    app = App(Configuration(apis={"a": Api(
        type="rest", routes=routes, stages={"prod": Stage()}, authorizers={"own": Authorizer(function=own)},
        policy={"Statement": [statement(policy or "Allow", Resource=resource)]},
    )}))  # fmt: skip
    assert app.get("/prod", headers={"authorization": "me"}).status_code == status
    assert bool(asked) is (policy != "Deny")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("type: rest", "type: http", "apis.shop.policy: expected only in an API of type rest, not http"),
        ("Effect: Deny", "Effect: Refuse", "Effect: expected Allow or Deny, got 'Refuse'"),
        ("aws:SourceIp: 10.0.0.0/8", "aws:SourceIp: ten", "'ten' does not appear to be an IPv4 or IPv6 network"),
        ("Condition: {NotIpAddress: {aws:SourceIp: 10.0.0.0/8}}", "Condition: 5", "Condition: expected operators"),
        ('Resource: "execute-api:/*/GET/*"', "Resource: 5", "Resource: expected a text or a list of texts"),
    ],
)
def test_wrong_policies_are_refused(read, old, new, problem):
    with pytest.raises(ConfigurationError) as caught:
        App(read(OWN.replace(old, new, 1)).configuration)
    assert problem in str(caught.value)


# --- templates


CFN = """
Resources:
  Api: {Type: AWS::ApiGateway::RestApi, Properties: {Name: shop, Policy: %s}}
  Get:
    Type: AWS::ApiGateway::Method
    Properties:
      RestApiId: !Ref Api
      ResourceId: !GetAtt Api.RootResourceId
      HttpMethod: GET
      Integration: {Type: MOCK, RequestTemplates: {application/json: '{"statusCode": 200}'}}
  Stage: {Type: AWS::ApiGateway::Stage, Properties: {RestApiId: !Ref Api, StageName: prod}}
"""


def admitted(document):
    app = App(document.configuration)
    return [app.get("/prod", client=client).status_code == 200 for client in (INSIDE, OUTSIDE)]


@pytest.mark.parametrize("as_text", [False, True])
def test_the_policy_of_a_rest_api(read, as_text):
    name = "arn:aws:execute-api:eu-west-1:111122223333:abc/prod/*"
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement(Resource=name, Condition={"IpAddress": IP})})
    document = read(CFN % (f"'{policy}'" if as_text else policy))
    assert admitted(document) == [True, False]
    assert document.warnings == ()


@pytest.mark.parametrize(
    ("policy", "note", "expected"),
    [
        (
            [ALLOW, statement("Deny", Condition={"StringNotEquals": VPC})],
            "no request has aws:sourcevpce here, as one from outside of AWS",
            [False, False],
        ),
        ([ALLOW, statement("Deny", Condition={"StringEquals": VPC})], "no request has aws:sourcevpce", [True, True]),
        ([statement(Principal={"AWS": "1"})], "no caller has an identity of AWS here", [False, False]),
        (
            [ALLOW, statement("Deny", Condition={"StringLike": {"aws:UserAgent": "curl*"}})],
            "the condition on aws:useragent is not evaluated: the statement denies whatever it is",
            [False, False],
        ),
        ([{"Effect": "Maybe"}], "this policy cannot be read, so every request is denied", [False, False]),
        ("{no JSON", "this policy cannot be read, so every request is denied", [False, False]),
    ],
)
def test_what_needs_an_account_is_a_warning_and_fails_closed(read, policy, note, expected):
    policy = json.dumps(policy if isinstance(policy, str) else {"Statement": policy})
    document = read(CFN % policy)
    (warning,) = document.warnings
    assert "template.yaml:3: warning: Resources.Api.Properties.Policy: " in warning
    assert note in warning
    assert admitted(document) == expected


def test_the_policy_of_a_document(read):
    document = """
openapi: 3.0.1
info: {title: shop}
x-amazon-apigateway-policy: {Statement: %s}
paths: {/: {get: {x-amazon-apigateway-integration: {type: mock, requestTemplates: {application/json: '{"statusCode": 200}'}}}}}
"""
    policy = json.dumps([ALLOW, statement("Deny", Condition={"IpAddress": IP})])
    assert admitted(read(document % policy)) == [False, True]


SAM = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Api: {Type: AWS::Serverless::Api, Properties: {StageName: prod, MergeDefinitions: true, Auth: %s,
    DefinitionBody: {swagger: 2.0, paths: {/: {get: {x-amazon-apigateway-integration: {type: mock,
    requestTemplates: {application/json: '{"statusCode": 200}'}}}}}}}}
  F: {Type: AWS::Serverless::Function, Properties: {Handler: a.b, Runtime: python3.11, InlineCode: "b = print", Events: {
    E: {Type: Api, Properties: {RestApiId: !Ref Api, Path: '/x/{id}', Method: post, Auth: %s}}}}}
"""


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ("{ResourcePolicy: {IpRangeWhitelist: [10.0.0.0/8]}}", [True, False]),
        ("{ResourcePolicy: {IpRangeBlacklist: 10.0.0.0/8}}", [False, True]),
        ("{ResourcePolicy: {SourceVpcWhitelist: [vpc-1, vpce-1]}}", [False, False]),
        ("{ResourcePolicy: {IntrinsicVpceBlacklist: [!Ref AWS::Region]}}", [True, True]),
        ("{ResourcePolicy: {AwsAccountWhitelist: ['111122223333']}}", [False, False]),
        (f"{{ResourcePolicy: {{CustomStatements: [{json.dumps(ALLOW)}]}}}}", [True, True]),
        (
            f"{{ResourcePolicy: {{IpRangeBlacklist: [10.0.0.0/8], CustomStatements: {json.dumps(ALLOW)}}}}}",
            [False, True],
        ),
        ("{}", [True, True]),
    ],
)
def test_the_resource_policy_of_sam(read, auth, expected):
    assert admitted(read(SAM % (auth, "{}"))) == expected


def test_the_resource_policy_of_an_event_is_about_its_route(read):
    document = read(
        SAM
        % ("{ResourcePolicy: {IpRangeBlacklist: [192.0.2.0/24]}}", "{ResourcePolicy: {IpRangeWhitelist: [10.0.0.1]}}")
    )
    policy = document.configuration.apis["Api"].policy
    assert [one["Resource"] for one in policy["Statement"]] == [["execute-api:/*"]] * 2 + [
        ["execute-api:/*/POST/x/*"]
    ] * 2
    assert admitted(document) == [True, False]
    assert decide(policy, "arn:aws:execute-api:us-east-1:1:Api/prod/POST/x/1", INSIDE) is False
    assert document.warnings == ()
