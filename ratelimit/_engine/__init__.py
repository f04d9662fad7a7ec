"""The engine: header-only C. Each `.pxd` is copied into the modules that `cimport` it.

Only `arrays.pxd` takes Python objects, to find their memory, and only `constants.pyx` is a module that Python imports.
"""
