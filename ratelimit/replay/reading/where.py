"""A condition on the fields of a request, such as `path ^= /login and status >= 400`."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Condition = Callable[[Mapping[str, Any]], Any]

OPERATORS = ("=", "!=", "^=", "$=", "*=", "~", "<", "<=", ">", ">=")
EXAMPLE = "'path ^= /login and status >= 400'"
_TOKEN = re.compile(
    r"\s*(?:(?P<mark>[()])|(?P<operator>!=|\^=|\$=|\*=|<=|>=|=|~|<|>)|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'"
    r"|(?P<word>[^\s()=!<>~\"']+))"
)


class Where:
    """A condition on requests.

    Comparisons are `=`, `!=`, `^=` (begins with), `$=` (ends with), `*=` (contains), `~` (matches a regular
    expression), and `<`, `<=`, `>`, `>=` of numbers. They are joined by `and`, `or`, `not` and brackets. A request
    without the field fulfils none of them but `!=`.

    Raises: ValueError, with the text and what is expected, when it is not a condition.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.fields: list[str] = []
        self._tokens: list[tuple[str, str]] = []
        place = 0
        while text[place:].strip():
            found = _TOKEN.match(text, place)
            if found is None:
                raise self._error("a word")
            kind = str(found.lastgroup)
            self._tokens.append(("value" if kind in ("double", "single") else kind, found[kind]))
            place = found.end()
        self._condition = self._any()
        if self._tokens:
            raise self._error("'and' or 'or'")

    def mask(self, fields: Mapping[str, Any]) -> Any:
        """Which rows fulfil the condition: an Arrow array of booleans without nulls."""
        return self._condition(fields)

    def _any(self) -> "Condition":
        return self._joined("or", self._all, "or_")

    def _all(self) -> "Condition":
        return self._joined("and", self._one, "and_")

    def _joined(self, word: str, read: "Callable[[], Condition]", function: str) -> "Condition":
        import pyarrow.compute as pc

        parts = [read()]
        while self._taken("word", word):
            parts.append(read())

        def condition(fields: Mapping[str, Any]) -> Any:
            result = parts[0](fields)
            for part in parts[1:]:
                result = getattr(pc, function)(result, part(fields))
            return result

        return condition

    def _one(self) -> "Condition":
        import pyarrow.compute as pc

        if self._taken("word", "not"):
            inner = self._one()
            return lambda fields: pc.invert(inner(fields))
        if self._taken("mark", "("):
            inner = self._any()
            if not self._taken("mark", ")"):
                raise self._error("')'")
            return inner
        field = self._next("word", "a field")
        operator = self._next("operator", f"one of {' '.join(OPERATORS)}")
        quoted = bool(self._tokens) and self._tokens[0][0] == "value"
        value = self._next("value" if quoted else "word", "a value")
        self.fields.append(field)
        return _comparison(field, operator, value, self._error)

    def _taken(self, kind: str, text: str) -> bool:
        if self._tokens and self._tokens[0] == (kind, text):
            self._tokens.pop(0)
            return True
        return False

    def _next(self, kind: str, expected: str) -> str:
        if not self._tokens or self._tokens[0][0] != kind:
            raise self._error(expected)
        return self._tokens.pop(0)[1]

    def _error(self, expected: str) -> ValueError:
        got = repr(self._tokens[0][1]) if self._tokens else "the end"
        return ValueError(f"--where {self.text!r}: expected {expected}, got {got}; write it as {EXAMPLE}")


def _comparison(field: str, operator: str, value: str, error: Callable[[str], ValueError]) -> "Condition":
    import pyarrow as pa
    import pyarrow.compute as pc

    if operator in ("<", "<=", ">", ">="):
        try:
            number = float(value)
        except ValueError:
            raise error(f"a number after {operator}") from None
        name = {"<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal"}[operator]
        numeric = r"^-?\d{1,15}(?:\.\d{1,15})?$"

        def compared(fields: Mapping[str, Any]) -> Any:
            column = fields[field]
            digits = pc.if_else(pc.match_substring_regex(column, numeric), column, None).cast(pa.string())
            return pc.fill_null(getattr(pc, name)(digits.cast(pa.float64()), number), False)

        return compared
    if operator == "~":
        try:
            pc.match_substring_regex(pa.array([b""], pa.binary()), value)
        except pa.ArrowInvalid:
            raise error("a regular expression in RE2's syntax after ~") from None
    functions = {
        "=": lambda column: pc.equal(column, value.encode()),
        "^=": lambda column: pc.starts_with(column, value),
        "$=": lambda column: pc.ends_with(column, value),
        "*=": lambda column: pc.match_substring(column, value),
        "~": lambda column: pc.match_substring_regex(column, value),
    }
    if operator == "!=":
        return lambda fields: pc.fill_null(pc.not_equal(fields[field], value.encode()), True)
    return lambda fields: pc.fill_null(functions[operator](fields[field]), False)
