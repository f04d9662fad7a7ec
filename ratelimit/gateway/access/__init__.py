"""Decides which client may pass: networks, authorizers and API keys."""
