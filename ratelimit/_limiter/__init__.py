"""The parts of a limiter: checked arguments, the compiled rule, decisions and reservations."""
