"""What a limiter is made of: what callers give, the rule it compiles to, and what callers are given."""
