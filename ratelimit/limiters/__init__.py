"""The limiters that users make: the five algorithms, and several limits as one."""
