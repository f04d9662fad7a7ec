"""Configuration files: YAML with the line of each value, checked against classes, and all problems in one error."""
