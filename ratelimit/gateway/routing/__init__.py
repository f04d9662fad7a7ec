"""From a host, a method and a path to a route."""
