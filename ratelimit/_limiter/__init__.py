"""What a limiter is made of: what callers give, the rule it compiles to, and what callers are given."""

from .._installation import warn_of_conflict

warn_of_conflict()
