from .._limiter.parameters import RuleParameters

def remote_class(cls: type, is_leased: bool) -> type:
    """Return the class of limiters like `cls` whose table is on an engine."""

def check_numbers(parameters: RuleParameters, clock: object) -> None:
    """Refuse what an engine cannot decide exactly."""
