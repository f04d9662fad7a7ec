"""The API keys of a stage, and the plan of each."""

from collections.abc import Iterable, Mapping, Sequence

from ..http.errors import Refusal
from .usage_plan import UsagePlan

UNIQUE = "a name and a value that no other key of the stage has"


class StageKeys:
    """The API keys of the plans of one stage.

    Args:
        values: the keys of the configuration by name.
        plans: those of the stage.

    Attributes:
        plans: those of the stage by name.
    """

    def __init__(self, values: Mapping[str, str], plans: Sequence[UsagePlan]) -> None:
        self.plans = {plan.name: plan for plan in plans}
        self._own = {values[name]: (name, plan.name) for plan in plans for name in plan.plan.keys}
        self._others = set(values.values()) - set(self._own)
        self._files = [(plan.key_file, plan.name) for plan in plans if plan.key_file is not None]

    def find(self, value: str | None) -> tuple[str, str]:
        """Return the names of a key and of its plan; raise a Refusal for a value that opens nothing here.

        Of two plans whose files have the key, it is the first: while a key moves to another plan, both may have it.
        """
        if not value:
            raise Refusal("INVALID_API_KEY", "no API key")
        found = self._own.get(value)
        if found is not None:
            return found
        for file, plan in self._files:
            name = file.names.get(value)
            if name is not None:
                return name, plan
        known = value in self._others
        raise Refusal("INVALID_API_KEY", "the API key has no plan for this stage" if known else "unknown API key")


def check_key_file(plan: UsagePlan, others: Iterable[UsagePlan]) -> None:
    """Raise a ValueError if the files of two plans of a stage have one name for two values, or two for one value.

    Both may have the same key: it moves to another plan.
    """
    for other in others:
        if plan.key_file and other.key_file and not set(plan.plan.stages).isdisjoint(other.plan.stages):
            values, names = other.key_file.values, other.key_file.names
            for name, value in plan.key_file.values.items():
                if (name in values or value in names) and values.get(name) != value:
                    raise ValueError(f"{plan.key_file.path}: {name}: expected {UNIQUE}, got one of plan {other.name!r}")


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
