"""The levels at which requests are throttled, one decision over all of them, and the counters behind it."""
