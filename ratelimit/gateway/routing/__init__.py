"""From a host, a path and a method to a route."""
