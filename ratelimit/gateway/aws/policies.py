"""Resource policies of REST APIs."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..._configuration.problems import Path
from ..access.conditions import unknown_keys
from ..access.policies import check_policy, names_everybody, statements
from .draft import ApiDraft, Draft
from .tree import from_json
from .values import as_list, as_mapping

ALL = "execute-api:/*"
_ARN = re.compile(r"arn:[^:]*:execute-api:[^:]*:[^:]*:([^/]*)(/.*)?")


def add_policy(draft: Draft, api: ApiDraft, policy: Any, path: Path) -> None:
    """Add the statements of a policy, or of its JSON text, to that of an API.

    Note what depends on identities of AWS. A policy that cannot be read denies all requests.
    """
    if not policy:
        return
    try:
        given = from_json(policy) if isinstance(policy, str) else policy
        found = [_here(one) for one in statements(given)]
        check_policy({"Statement": found})
    except ValueError as error:
        draft.template.note(path, f"this policy cannot be read, so every request is denied: {error}")
        found = []
    for statement in found:
        for note in _notes(statement):
            draft.template.note(path, note)
    known = api.settings.setdefault("policy", {"Statement": []})["Statement"]
    known += [one for one in found if one not in known]


def _here(statement: Mapping[str, Any]) -> dict[str, Any]:
    """Return a statement about this API, whatever account, region and id its resources name."""
    made = dict(statement)
    for name in ("Resource", "NotResource"):
        if name in made:
            made[name] = [_resource(one) if isinstance(one, str) else one for one in as_list(made[name])]
    return made


def _resource(text: str) -> str:
    found = _ARN.fullmatch(text)
    if found is None:
        return text
    return "execute-api:" + (found[2] or ("/*" if found[1].endswith("*") else ""))


def _notes(statement: Mapping[str, Any]) -> Iterator[str]:
    effect = "denies" if statement["Effect"] == "Deny" else "allows"
    if "NotPrincipal" in statement:
        what = "every request" if effect == "denies" else "nothing"
        yield f"no caller has an identity of AWS here, so this statement {effect} {what}: NotPrincipal"
    elif "Principal" in statement and not names_everybody(statement["Principal"]):
        yield f"no caller has an identity of AWS here, so this statement {effect} nothing: Principal"
    for key, absent in unknown_keys(as_mapping(statement.get("Condition"))):
        if absent:
            yield f"no request has {key} here, as one from outside of AWS"
        else:
            done = "denies whatever it is" if effect == "denies" else "does not allow by it"
            yield f"the condition on {key} is not evaluated: the statement {done}"


# --- SAM


def add_sam_policy(draft: Draft, api: ApiDraft, auth: Mapping[str, Any], resource: str, path: Path) -> None:
    """Add the `ResourcePolicy` of an API or of an event.

    Args:
        draft: the configuration.
        api: to which it belongs.
        auth: the property that has it.
        resource: what it is about.
        path: of `auth`.
    """
    given = as_mapping(auth.get("ResourcePolicy"))
    if given:
        found = [{"Resource": resource, "Action": "execute-api:Invoke", **one} for one in _statements(given)]
        custom = as_list(given.get("CustomStatements"))
        add_policy(draft, api, {"Statement": [*found, *custom]}, (*path, "ResourcePolicy"))


def of_event(key: str) -> str:
    """Return the name of a route in policies."""
    method, _, path = key.partition(" ")
    return f"execute-api:/*/{'*' if method == 'ANY' else method}{re.sub(r'{[^}]*}', '*', path)}"


def _statements(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the statements that SAM makes of lists: all callers are allowed, except those that a condition denies."""
    for name, effect in (("AwsAccountWhitelist", "Allow"), ("AwsAccountBlacklist", "Deny")):
        if given.get(name):
            yield {"Effect": effect, "Principal": {"AWS": as_list(given[name])}}
    for name, operator in (("IpRangeWhitelist", "NotIpAddress"), ("IpRangeBlacklist", "IpAddress")):
        if given.get(name):
            yield from _all_but({operator: {"aws:SourceIp": as_list(given[name])}})
    for kind, operator in (("Blacklist", "StringEquals"), ("Whitelist", "StringNotEquals")):
        listed = [str(one) for one in as_list(given.get(f"SourceVpc{kind}"))]
        keys = {
            "aws:SourceVpc": [one for one in listed if one.startswith("vpc-")],
            "aws:SourceVpce": [one for one in listed if one.startswith("vpce-")],
        }
        for key, name in (("aws:SourceVpc", f"IntrinsicVpc{kind}"), ("aws:SourceVpce", f"IntrinsicVpce{kind}")):
            keys[key] += as_list(given.get(name))
        if any(keys.values()):
            yield from _all_but({operator: {key: values for key, values in keys.items() if values}})


def _all_but(condition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"Effect": "Allow", "Principal": "*"}
    yield {"Effect": "Deny", "Principal": "*", "Condition": condition}
