"""A limit for each group of requests, such as a path, as configuration."""

import re
from collections.abc import Callable

from ..report import Answer, Suggestion
from .configuration import nginx_limit

Groups = list[tuple[str, Suggestion]]


def groups_configuration(answer: Answer, form: str) -> str:
    """Return the suggestions by group in one of GROUP_FORMS.

    Raises: ValueError for another form, or if no group has a suggestion.
    """
    if form not in GROUP_FORMS:
        raise ValueError(f"--as with --by: expected one of {', '.join(GROUP_FORMS)}, got {form!r}")
    groups = [(group.name, group.suggestion) for group in answer.groups if group.suggestion]
    if not groups:
        raise ValueError(f"too small a sample for an answer by {answer.by}")
    return GROUP_FORMS[form](groups, answer.by or "")


def _python(groups: Groups, by: str) -> str:
    lines = [f'    {name!r}: parse("{limit.limit}"),' for name, limit in groups]
    return "\n".join(["from ratelimit import parse", "", f"limiters = {{  # by {by}", *lines, "}"])


def _serve(groups: Groups, by: str) -> str:
    lines = [f"  {name}:  # {group}\n    limit: {limit.limit}" for name, (group, limit) in _named(groups)]
    return "\n".join([f"# ratelimit serve: ask /check/NAME for requests by {by}", "limits:", *lines])


def _nginx(groups: Groups, by: str) -> str:
    """Limits by a variable that is empty for the requests of other groups, which nginx then does not count."""
    maps, limits = [], []
    for name, (group, limit) in _named(groups):
        rate, burst = nginx_limit(limit)
        maps += [
            f'map "$request_method $uri" $client_of_{name} {{ "~{_expression(group, by)}" $binary_remote_addr; }}',
            f"limit_req_zone $client_of_{name} zone={name}:10m rate={rate};",
        ]
        limits.append(f"limit_req zone={name} burst={burst} nodelay;")
    return "\n".join([*maps, *limits, "limit_req_status 429;"])


def _expression(group: str, by: str) -> str:
    """Return a regular expression for a method, a blank and a path."""
    method, _, path = group.partition(" ") if "method" in by and "path" in by else ("", "", group)
    if "path" not in by:
        return f"^{re.escape(group)} "
    if by.replace(" ", "").startswith("path") and method:
        method, path = path, method
    end = "$" if path in ("", "/") or not re.search(r"path */", by) else "(?:/|$)"
    return f"^{re.escape(method) or '[^ ]+'} {_escaped(path or '/')}{end}"


def _escaped(path: str) -> str:
    return re.sub(r"([\\.+*?^$()\[\]{}|\"])", r"\\\1", path)


def _named(groups: Groups) -> list[tuple[str, tuple[str, Suggestion]]]:
    """Return each group with a name of its own, of letters, digits and `_`."""
    names: dict[str, tuple[str, Suggestion]] = {}
    for group, limit in groups:
        name = base = re.sub(r"[^A-Za-z0-9]+", "_", group).strip("_").lower() or "root"
        number = 2
        while name in names:
            name, number = f"{base}_{number}", number + 1
        names[name] = (group, limit)
    return [*names.items()]


GROUP_FORMS: dict[str, Callable[[Groups, str], str]] = {"python": _python, "serve": _serve, "nginx": _nginx}
