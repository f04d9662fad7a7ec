"""Which clients may use a route: networks, authorizers and API keys."""
