"""`ratelimit bench`: the cost of limits on this machine, beside a floor and other libraries.

In reading order:

    measure.py     how times are taken: contestants in turn
    scenarios.py   the keys, the limits and the contestants; benchmarks/ uses them, too
    peers.py       the other libraries
    decisions.py, memory.py, cores.py, sharing.py   one section of the report each
    report.py      what is printed and written
    command.py     the command
"""
