"""`ratelimit bench`: the cost of limits on this machine, beside a floor and other libraries.

In reading order:

    measure.py     how times are taken: contestants in turn
    scenarios.py   the keys, the limits and the contestants; benchmarks/ uses them, too
    peers.py       the other libraries
    decisions.py, lives.py, memory.py, cores.py, sharing.py, network.py   one section of the report each
    network_peers.py   the other libraries that keep a limit on a server
    process.py     a measurement in a process of its own
    report.py      what is printed and written
    command.py     the command
"""
