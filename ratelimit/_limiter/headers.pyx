"""The header fields about a limit, from its numbers: bytes with names in lower case, for decisions and the gateway."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8
from libc.stdint cimport uint64_t

from .._engine.constants cimport NEVER, NS_PER_SECOND

from typing import Literal

Style = Literal["draft", "legacy"] | None
STYLES = ("draft", "legacy", None)
cdef enum:
    MAX_POLICIES = 1_024  # texts that are kept
    MAX_NAME = 200  # characters, of a quota's text

cdef dict _policies = {}  # by the id of a quota, which is not used again while it is here: the quota, and its texts


cdef list fields_of(
    bint draft,
    bint legacy,
    bytes policies,
    str name,
    bint allowed,
    uint64_t limit,
    uint64_t remaining,
    uint64_t more,
    uint64_t retry,
):
    """Return RateLimit-Policy and RateLimit, X-RateLimit-*, or both. A refusal also has Retry-After.

    Times are in nanoseconds, and rounded up to seconds. A time that never comes (NEVER) is left out.

    Args:
        policies: the value of RateLimit-Policy.
        name: the policy that decided.
        more: how long until more than `remaining` can be spent.
        retry: how long until a refused request is admitted.
    """
    cdef list fields = []
    if draft:
        fields.append((b"ratelimit-policy", policies))
        fields.append((b"ratelimit", item(name, remaining, whole_seconds(more) if more < NEVER else 0)))
    if legacy:
        fields.append((b"x-ratelimit-limit", decimal(limit)))
        fields.append((b"x-ratelimit-remaining", decimal(remaining)))
        if more < NEVER:
            fields.append((b"x-ratelimit-reset", decimal(whole_seconds(more))))
    if not allowed and retry < NEVER:
        fields.append((b"retry-after", decimal(whole_seconds(retry))))
    return fields


def check_style(style, name="style"):
    """Refuse another style than those of `limit_fields`."""
    if style not in STYLES:
        raise ValueError(f"{name}: expected 'draft', 'legacy' or None, got {style!r}")


cdef bytes policy_of(quota):
    return texts_of(quota)[2]


cdef tuple texts_of(quota):
    """Return a quota, the name of its policy, and its RateLimit-Policy."""
    texts = _policies.get(id(quota))
    if texts is None:
        if len(_policies) >= MAX_POLICIES:
            _policies.clear()
        name = str(quota)
        # w counts whole seconds, so other periods have none, and a calendar's differ.
        window = "" if quota.calendar or quota.period_ns % NS_PER_SECOND else f";w={quota.period_ns // NS_PER_SECOND}"
        texts = _policies[id(quota)] = (quota, name, f'"{name}";q={quota.limit}{window}'.encode())
    return texts


cdef inline uint64_t whole_seconds(uint64_t ns) noexcept:
    """Return seconds, rounded up."""
    return (ns + NS_PER_SECOND - 1) // NS_PER_SECOND


# By hand, because this is half of what a gateway's ruling costs when it is formatted by Python.

cdef bytes item(str name, uint64_t remaining, uint64_t seconds):
    """Return the item of the RateLimit field, without `t` if there is no time to wait."""
    cdef char[MAX_NAME + 64] text
    cdef char* at = text
    if len(name) > MAX_NAME:
        raise ValueError(f"name of a policy: expected at most {MAX_NAME} characters, got {len(name)}")
    at = write(at, b'"')
    at = write(at, PyUnicode_AsUTF8(name))  # of ASCII characters
    at = write(at, b'";r=')
    at = write_decimal(at, remaining)
    if seconds:
        at = write(at, b";t=")
        at = write_decimal(at, seconds)
    return PyBytes_FromStringAndSize(text, at - text)


cdef inline char* write(char* at, const char* text) noexcept:
    while text[0]:
        at[0] = text[0]
        at += 1
        text += 1
    return at


cdef char* write_decimal(char* at, uint64_t number) noexcept:
    cdef uint64_t rest = number // 10
    if rest:
        at = write_decimal(at, rest)
    at[0] = 48 + <char>(number - 10 * rest)  # "0" and so on
    return at + 1


cdef bytes decimal(uint64_t number):
    cdef char[24] text
    return PyBytes_FromStringAndSize(text, write_decimal(text, number) - text)
