"""The parts of a limiter: arguments, the compiled rule, the attachment to a table, and results."""
