"""Replay real traffic through rate limits: which requests would have been refused, when, and how unfairly.

How a log becomes a report:

    reading/files.py       paths or standard input, decompressed (streams.py), as blocks of whole lines
    reading/formats/       lines of a format, as columns of fields; catalogue.py lists them
    reading/mixed.py       further formats of a log's lines
    reading/where.py       a condition on the fields
    reading/keys.py        an expression over the fields, as one key a row (addresses.py, names.py)
    reading/timestamps.py  text as nanoseconds since the epoch
    reading/usual.py       the usual lines of combined logs, without these steps (_scanning.pyx)
    reading/reader.py      all this, one after the other; it needs pyarrow and msgspec, in the extra `replay`
    batch.py, trace.py     requests as arrays; all of them on disk, in order of time
    engine.py              batches, decided by every limit
    measures.py            what is counted meanwhile, in bounded memory (_counting.pyx: per key)
    limits.py              the limits, and the bounds that their algorithms guarantee
    arrays.py, logs.py     `replay` and `replay_log`
    follow.py              requests that are decided while they are logged
    clients.py             which clients look like programs
    search.py, answer.py   the smallest limits that touch few clients, and what they do (by client: _grouped.pyx)
    report.py              the results of both commands, as dataclasses
    render/                reports for people: text, HTML and its charts, configuration
    cli/                   the commands
"""

from .answer import suggest_log
from .arrays import replay
from .limits import Limit
from .logs import replay_log
from .report import Report

__all__ = ["Limit", "Report", "replay", "replay_log", "suggest_log"]
