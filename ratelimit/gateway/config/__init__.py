"""The configuration of a gateway as data, and reading it from a file."""
