"""Counters, metrics, the access log and spans."""
