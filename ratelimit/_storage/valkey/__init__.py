"""Tables on Valkey or Redis: the engine decides, by scripts that are exact, and this package asks it.

- `address.py` turns a URL or a client into connections.
- `breaker.py` answers at once while the engine is away.
- `options.py` reads the arguments of a table, and holds its counters.
- `engine.py` is what limiters ask: decide groups of requests, in one round trip, within one deadline.
- `turns.py` asks for everything that one turn of an event loop wants in one call.
- `replicas.py` asks replicas to confirm, and notices a new primary.
- `cluster.py` is several engines as one, each with some of the keys.
- `leases.pyx` has what this host was granted in advance, in the memory that `lease_file.py` maps.
- `storage.py` keeps the table's metadata in the engine.
- `scripts` is the decision itself, in Lua.
"""
