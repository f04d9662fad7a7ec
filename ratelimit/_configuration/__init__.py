"""Configuration files: YAML with the line of each value, checked against classes. And the addresses of clients."""
