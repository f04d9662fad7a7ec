"""The API keys of a stage, and the plan of each."""

from collections.abc import Iterable, Mapping, Sequence

from ..http.errors import Refusal
from .usage_plan import UsagePlan


class StageKeys:
    """The API keys of the plans of one stage.

    Args:
        values: the keys of the configuration by name.
        plans: those of the stage.
    """

    def __init__(self, values: Mapping[str, str], plans: Sequence[UsagePlan]) -> None:
        self._plans = {key: plan for plan in plans for key in plan.plan.keys}
        self._names = {value: name for name, value in values.items() if name in self._plans}
        self._others = set(values.values()) - set(self._names)
        self._with_files = [plan for plan in plans if plan.key_file is not None]

    def find(self, value: str | None) -> str:
        """Return the name of a key; raise a Refusal for a value that opens nothing here."""
        if not value:
            raise Refusal("INVALID_API_KEY", "no API key")
        name = self._names.get(value)
        if name is not None:
            return name
        for plan in self._with_files:
            assert plan.key_file is not None
            name = plan.key_file.names.get(value)
            if name is not None:
                return name
        known = value in self._others
        raise Refusal("INVALID_API_KEY", "the API key has no plan for this stage" if known else "unknown API key")

    def plan_of(self, name: str) -> UsagePlan:
        """Return the plan of a key; raise a Refusal for one that was revoked meanwhile."""
        plan = self._plans.get(name) or next((one for one in self._with_files if name in one.keys), None)
        if plan is None:
            raise Refusal("INVALID_API_KEY", "the API key was revoked")
        return plan


class KnownKeys:
    """The values of all API keys, for the question whether a text is one.

    Args:
        values: those of the configuration.
        plans: all plans, whose files may have more.
    """

    def __init__(self, values: Iterable[str], plans: Iterable[UsagePlan]) -> None:
        self._values = frozenset(values)
        self._files = [plan.key_file for plan in plans if plan.key_file is not None]

    def __contains__(self, value: object) -> bool:
        return value in self._values or any(value in one.names for one in self._files)
