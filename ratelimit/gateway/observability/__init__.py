"""Information about requests for the operator: counters, metrics, the access log and spans."""
