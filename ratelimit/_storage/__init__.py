"""Where the bytes of a table are, the metadata in its first page, and a census of its slots."""
