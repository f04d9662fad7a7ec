"""What a gateway does, as data, and the reading of a configuration file."""
