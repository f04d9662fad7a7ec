"""Replay real traffic through rate limits: which requests would have been refused, when, and how unfairly.

How a log becomes a report:

    reading/files.py       paths or standard input, decompressed, as blocks of whole lines
    reading/formats.py     lines of a known format, as columns of fields      } pyarrow, in the extra
    reading/keys.py        an expression over the fields, as one key a row     } `replay`
    reading/timestamps.py  text as nanoseconds since the epoch
    reading/merge.py       rows of one or several files, in order of time
    reading/reader.py      these steps, one after the other
    batch.py               requests as arrays: the only thing that the engine sees    } numpy alone
    engine.py              batches, decided by every limit                            }
    measures.py            what is counted meanwhile, in bounded memory (_counting.pyx: per key)
    search.py              the smallest limits that refuse no more than a given share
    report.py              the results of both commands, as dataclasses
    render/                reports for people: text, HTML and its charts
    cli/                   the commands
"""

from .arrays import replay
from .limits import Limit
from .logs import replay_log
from .report import Report

__all__ = ["Limit", "Report", "replay", "replay_log"]
