"""The engine's constants for Python; `constants.pxd` defines them."""
