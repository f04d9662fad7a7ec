"""Texts with variables, and what is made of them: header and path mappings, gateway responses."""
