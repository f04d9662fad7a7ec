"""Texts with `$variables`, and what is made of them: changes to headers and paths, and the gateway's own answers."""
