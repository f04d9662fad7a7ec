"""HTTP as values that know nothing else of the gateway: requests, responses, headers, targets and paths."""
