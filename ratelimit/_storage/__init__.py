"""Where the bytes of a table are, what its first page says, and what its slots hold."""
