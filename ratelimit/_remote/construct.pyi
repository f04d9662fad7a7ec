def remote_class(cls: type, is_leased: bool) -> type:
    """Return the class of limiters like `cls` whose table is on an engine."""
