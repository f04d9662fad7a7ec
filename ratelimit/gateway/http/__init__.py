"""Values of HTTP that know nothing of the gateway: requests, headers, paths, networks."""
