"""What the operator sees and does: the status page, metrics, usage, and the clients of WebSocket APIs."""
