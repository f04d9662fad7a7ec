"""The parts of a limiter: arguments, the compiled rule, the attachment to a table, and results."""

from .installation import warn_of_conflict

warn_of_conflict()
