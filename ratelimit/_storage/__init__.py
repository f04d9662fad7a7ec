"""The memory of a table, the metadata in its first page, and a census of its slots."""
