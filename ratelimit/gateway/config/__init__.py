"""The configuration of a gateway as data, and the reading of a configuration file."""
