"""Texts with `$variables`, and their uses: changes to headers and paths, and the gateway's own answers."""
