"""The usual lines of combined logs are read without a regular expression, and with the same result."""

import random

import pytest

from ratelimit.replay.logs import recorded
from ratelimit.replay.reading.reader import Reader
from ratelimit.replay.reading.usual import UsualLines

LINES = [
    b'192.0.2.1 - - [05/Jan/2026:00:00:01 +0000] "GET /a?b=1 HTTP/1.1" 200 12 "-" "curl/8"\n',
    b'2001:DB8::0:1 - ann [29/Feb/2028:23:59:60 -0930] "POST /x/y HTTP/2" 401 - "https://example.org/" "Mozilla/5.0 (X)"\n',
    b'[::ffff:192.0.2.7]:80 - - [31/Dec/1999:00:00:00 +0100] "GET / HTTP/1.1" - 5 "-" "a \\" b"\r\n',
    b'192.0.2.1 - ann lee [05/Jan/2026:00:00:01 +0000] "GET http://h/p HTTP/1.1" 200 1\n',
    b'host.example - - [05/Jan/2026:00:00:01 +0000] "\\x16\\x03" 400 0 "-" "-"\n',
    b'192.0.2.001 - - [05/Jan/2026:00:00:02 +0000] "GET /q"uote" 1 HTTP/1.1" 404 9 "-" "-"\n',
]
PIECES = [
    b" ",
    b'"',
    b"[",
    b"]",
    b"-",
    b"0",
    b"9",
    b":",
    b".",
    b",",
    b"\\",
    b"x",
    b"/",
    b"?",
    b"\t",
    b"\xff",
    b'" 200 ',
]


def mutated(line, draw):
    """Return a line with a few pieces put in, taken out or doubled."""
    for _ in range(draw.choice([0, 0, 1, 1, 2, 3])):
        place = draw.randrange(len(line) - 2)
        size = draw.choice([0, 0, 1, 1, 4, 20])
        line = line[:place] + draw.choice([b"", draw.choice(PIECES), line[place : place + size]]) + line[place + size :]
    return line.replace(b"\n", b"") + b"\n"


def everything(path, profile, key):
    reader = Reader([str(path)], key, profile=profile)
    trace, _ = recorded(reader)
    agents, targets = [*reader.agents.texts(), None], [*reader.targets.texts(), None]
    rows = []
    for batch in trace.batches():
        columns = [batch.times.tolist(), [reader.name(number) for number in batch.ids]]
        if profile:
            columns += [batch.statuses.tolist(), [agents[i] for i in batch.agents], [targets[i] for i in batch.targets]]
        rows += zip(*columns, strict=True)
    return rows, reader.source()


@pytest.mark.parametrize(("profile", "key"), [(False, "client"), (True, "client"), (False, "client/24/48")])
def test_is_the_same_as_by_the_regular_expression(profile, key, tmp_path, monkeypatch):
    draw = random.Random(18)
    log = tmp_path / "access.log"
    log.write_bytes(b"".join(LINES + [mutated(draw.choice(LINES), draw) for _ in range(20_000)]))
    fast = everything(log, profile, key)
    monkeypatch.setattr(UsualLines, "fits", lambda *arguments: False)
    slow = everything(log, profile, key)
    assert len(slow[0]) > 10_000
    assert slow[1].broken > 1_000
    assert fast == slow
