def remote_class(cls: type, is_leased: bool) -> type:
    """Return the class of limiters like `cls` whose table is on an engine."""

def make_remote(cls: type, given: tuple[object, ...], named: dict[str, object]) -> object:
    """Make the object. It may put its quota in force, which its table publishes."""
