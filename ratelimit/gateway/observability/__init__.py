"""What the operator can see of the requests: counters, metrics, the access log and spans."""
