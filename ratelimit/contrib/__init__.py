"""Adapters for other frameworks and libraries, one module each, which only that module imports."""
