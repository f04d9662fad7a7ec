"""Replay real traffic through any limits: who would have been refused, when, and how unfairly.

How a log becomes a report, one file a step:

    files.py     paths or standard input, gzip and zstd undone, as blocks of whole lines
    logs.py      lines of a known format, as columns of fields          } pyarrow, in the extra
    keys.py      an expression over the fields, as one key for each row } `replay`
    moments.py   the text of a moment, as nanoseconds since the epoch
    order.py     rows of one or several files, in the order of their moments
    reader.py    these steps, one after the other
    limits.py    "token-bucket 10/second burst 20", as a limiter
    engine.py    arrays of moments and keys, decided by every limit     } numpy alone
    measures.py  what is counted meanwhile, in bounded memory (_tally.pyx: key by key)
    report.py    what is known at the end
    table.py, html.py   the report for people
    suggest.py   the smallest limits that refuse no more than a given share
    command.py   the command lines
"""

from .engine import replay, replay_log
from .limits import Limit
from .report import Report

__all__ = ["Limit", "Report", "replay", "replay_log"]
