"""The pages and commands of the operator: the status page, metrics, usage, and the clients of WebSocket APIs."""
