"""The engine: header-only C, with no Python objects. Each `.pxd` is copied into the modules that `cimport` it."""
