"""The commands `ratelimit replay` and `ratelimit suggest`."""
