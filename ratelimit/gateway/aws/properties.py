"""The properties of a template that have no effect here, each noted with its line."""

from collections.abc import Mapping
from typing import Any

from ..._configuration.problems import Path, expected
from .openapi import operations
from .serverless import GLOBALS, KINDS
from .template import Template
from .values import as_mapping, is_true

_VALIDATION = "requests are not validated"
_KEY = "a key is that of the authorizer's answer, or else of the header x-api-key"
_REASONS = {
    "RequestParameters": _VALIDATION, "RequestModels": _VALIDATION, "ModelSelectionExpression": _VALIDATION,
    "MutualTlsAuthentication": "clients' certificates are not asked for",
    "ApiKeySourceType": _KEY, "api-key-source": _KEY,
    "CacheClusterEnabled": "answers are not cached", "CacheClusterSize": "answers are not cached",
    "DisableExecuteApiEndpoint": "the API is served at its own host as well",
    "StageKeys": "a key belongs to a stage by a usage plan alone",
}  # fmt: skip

# The properties that a part of the conversion reads.
_API = "BinaryMediaTypes Body CorsConfiguration ProtocolType RouteKey RouteSelectionExpression Target BodyS3Location"
_STAGE = "ApiId RestApiId StageName Variables StageVariables MethodSettings DefaultRouteSettings RouteSettings"
_SAM = (
    "Auth BinaryMediaTypes CanarySetting Cors CorsConfiguration DefaultRouteSettings DefinitionBody DefinitionUri"
    " Domain GatewayResponses MethodSettings RouteSelectionExpression"
    " RouteSettings Routes StageName StageVariables Variables"
)
_INTEGRATED = "ApiId RestApiId ResourceId HttpMethod Integration ApiKeyRequired RouteKey Target"
_AUTHORIZED = "AuthorizationScopes AuthorizationType AuthorizerId"
_DOMAIN = (
    "CertificateArn DomainName DomainNameConfigurations OwnershipVerificationCertificateArn RegionalCertificateArn"
)
_SAM_DOMAIN = f"{_DOMAIN} BasePath NormalizeBasePath Route53"
_AUTHORIZER = (
    "ApiId AuthType AuthorizerCredentials AuthorizerCredentialsArn AuthorizerPayloadFormatVersion"
    " AuthorizerResultTtlInSeconds AuthorizerType AuthorizerUri IdentitySource IdentityValidationExpression"
    " JwtConfiguration ProviderARNs RestApiId Type"
)
_READ = {
    "AWS::ApiGateway::RestApi": f"{_API} Policy",
    "AWS::ApiGatewayV2::Api": f"{_API} BasePath",
    "AWS::Serverless::Api": f"{_SAM} MergeDefinitions Models Policy",
    "AWS::Serverless::HttpApi": _SAM,
    "AWS::Serverless::WebSocketApi": _SAM,
    "AWS::ApiGateway::Stage": f"{_STAGE} CanarySetting",
    "AWS::ApiGatewayV2::Stage": _STAGE,
    "AWS::ApiGateway::Method": f"{_INTEGRATED} {_AUTHORIZED} RequestModels RequestParameters RequestValidatorId",
    "AWS::ApiGatewayV2::Route": f"{_INTEGRATED} {_AUTHORIZED} RouteResponseSelectionExpression",
    "AWS::ApiGateway::ApiKey": "CustomerId Enabled GenerateDistinctId Value",
    "AWS::ApiGateway::Deployment": "DeploymentCanarySettings RestApiId StageDescription StageName",
    **dict.fromkeys(("AWS::ApiGateway::DomainName", "AWS::ApiGatewayV2::DomainName"), _DOMAIN),
    **dict.fromkeys(("AWS::ApiGateway::Authorizer", "AWS::ApiGatewayV2::Authorizer"), _AUTHORIZER),
}
_STACKS = ("AWS::CloudFormation::Stack", "AWS::Serverless::Application")
_KINDS = {  # of API Gateway, without their own properties here; the last change no answer
    *(f"AWS::ApiGateway::{one}" for one in (
        "BasePathMapping", "GatewayResponse", "Model", "RequestValidator", "Resource", "UsagePlan", "UsagePlanKey",
        "Account", "DocumentationPart", "DocumentationVersion",
    )),
    *(f"AWS::ApiGatewayV2::{one}" for one in ("ApiMapping", "Integration", "RouteResponse", "Deployment")),
}  # fmt: skip
_AUTH = (
    "AddApiKeyRequiredToCorsPreflight AddDefaultAuthorizerToCorsPreflight ApiKeyRequired Authorizers DefaultAuthorizer"
    " UsagePlan"
)
_EVENT = (
    "ApiId Auth AuthorizationScopes Method Path PayloadFormatVersion RestApiId RouteSettings TimeoutInMillis"
    " ApiKeyRequired Authorizer Model OverrideApiAuth RequestModel RequestParameters Required ValidateBody"
    " ValidateParameters"
)

# Properties that change no answer: texts for people, permissions between services, logs, certificates, deployments.
_APART = (
    "AccessLogSetting AccessLogSettings AlwaysDeploy AutoDeploy CacheDataEncrypted ClientCertificateId"
    " CredentialsArn DeploymentId Description DisableSchemaValidation DocumentationVersion EnableIamAuthorizer"
    " EnableSimpleResponses EndpointAccessMode EndpointConfiguration FailOnWarnings InvokeRole IpAddressType"
    " MethodResponses MinimumCompressionSize Mode Name OpenApiVersion OperationName"
    " Parameters PropagateTags RemoveDefaultStage SecurityPolicy Tags TracingEnabled UnescapeMappingTemplate"
    " Version"
)

# The properties whose value is an object; another value has no effect.
_OBJECTS = (
    "Auth Body CanarySetting DefaultRouteSettings DefinitionBody DeploymentCanarySettings Domain GatewayResponses"
    " Integration RequestModel RouteSettings Routes StageDescription StageVariables Variables"
)

# The extensions of OpenAPI that are read, without their prefix.
_PREFIX = "x-amazon-apigateway-"
_EXTENSIONS = (
    "any-method auth authorizer authtype binary-media-types cors gateway-responses integration integrations policy"
    " request-validator request-validators"
)
_EXTENSIONS_APART = "documentation endpoint-configuration importexport-version minimum-compression-size tag-value"


def note_unused(template: Template) -> None:
    """Note the properties of APIs, stages, methods, routes and events that have no effect."""
    for resource in template.resources.values():
        if resource.type in _READ:
            _note_api(template, resource.properties, resource.type, resource.path)
        elif resource.type in _STACKS:
            template.note(resource.path, "a nested stack is not read: start its template by itself")
        elif resource.type.startswith("AWS::ApiGateway") and resource.type not in _KINDS:
            template.note(resource.path, "a resource of this kind has no effect here")
    for kind, api in KINDS.items():
        name = GLOBALS[api]
        _note_api(template, as_mapping(template.globals.get(name)), kind, ("Globals", name))
    for owner in template.of_type("AWS::Serverless::Function", "AWS::Serverless::StateMachine"):
        for name, event in owner.mapping("Events").items():
            if as_mapping(event).get("Type") in ("Api", "HttpApi"):
                place = (*owner.path, "Events", name, "Properties")
                given = as_mapping(as_mapping(event).get("Properties"))
                _note(template, given, _EVENT, place)
                policy = " ResourcePolicy" if event["Type"] == "Api" else ""
                for part in ("Auth", "RequestModel"):
                    _note(template, as_mapping(given.get(part)), _EVENT + policy, (*place, part))


def note_document(template: Template, document: Mapping[str, Any], path: Path) -> None:
    """Note the extensions of an OpenAPI document that have no effect."""
    _note_extensions(template, document, path)
    for _, _, operation, place in operations(document, path):
        _note_extensions(template, operation, place)


def _note_api(template: Template, properties: Mapping[str, Any], kind: str, path: Path) -> None:
    _note(template, properties, _READ[kind], path)
    if KINDS.get(kind) in ("rest", "http"):
        policy = " ResourcePolicy" if KINDS[kind] == "rest" else ""
        _note(template, as_mapping(properties.get("Auth")), _AUTH + policy, (*path, "Auth"))
        _note(template, as_mapping(properties.get("Domain")), _SAM_DOMAIN, (*path, "Domain"))
    for name in ("Body", "DefinitionBody"):
        note_document(template, as_mapping(properties.get(name)), (*path, name))
    settings = properties.get("MethodSettings")
    for position, one in enumerate(settings if isinstance(settings, list) else []):
        if is_true(as_mapping(one).get("CachingEnabled")):
            template.note((*path, "MethodSettings", position), "answers are not cached")


def _note(template: Template, properties: Mapping[str, Any], read: str, path: Path) -> None:
    for name, value in properties.items():
        unused = name not in read.split() and name not in _APART.split() and not name.startswith("Fn::")
        if unused and value not in (None, False, "false", [], {}, "HEADER"):
            template.note((*path, name), _REASONS.get(name, "this property has no effect here"))
        elif name in _OBJECTS.split() and value is not None and not isinstance(value, dict):
            template.note((*path, name), f"this property has no effect: {expected('names and their values', value)}")


def _note_extensions(template: Template, values: Mapping[str, Any], path: Path) -> None:
    for name, value in values.items():
        kind = name.removeprefix(_PREFIX)
        if kind != name and kind not in f"{_EXTENSIONS} {_EXTENSIONS_APART}".split() and value != "HEADER":
            template.note((*path, name), _REASONS.get(kind, "this extension has no effect here"))
