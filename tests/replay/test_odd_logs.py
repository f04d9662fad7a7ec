"""Logs as operators have them: joined, mixed, in other encodings. Each gives the right numbers, or an error."""

import gzip
import json
import zlib

import pytest

from ratelimit.replay import replay_log
from ratelimit.replay.cli import replay as command

LINE = '192.0.2.{} - - [05/Jan/2026:00:00:{:02} +0000] "GET /p HTTP/1.1" 200 12 "-" "curl/8"\n'


def access(clients=4, number=40, first=0):
    return "".join(LINE.format(i % clients + 1, (first + i) % 60) for i in range(number))


def objects(make, number=40):
    return "".join(json.dumps({"time": f"2026-01-05T00:00:{i:02}Z", **make(i)}) + "\n" for i in range(number))


PLAIN = access()
JSON = objects(lambda i: {"client_ip": f"192.0.2.{i % 4 + 1}", "status": 200})
ERRORS = '2026/01/05 00:00:01 [error] 12#12: *1 open() "/x" failed (2: No such file), client: 192.0.2.9\n'
PACKED = gzip.compress(PLAIN.encode())


@pytest.mark.parametrize(
    ("content", "requests", "clients", "broken"),
    [
        # encodings and line ends
        (PLAIN.encode("utf-16"), 40, 4, 0),
        (PLAIN.replace("\n", "\r\n").encode("utf-16-be"), 40, 4, 0),
        (gzip.compress(PLAIN.encode("utf-16-le")), 40, 4, 0),
        (PLAIN.replace("\n", "\r").encode(), 40, 4, 0),
        # files joined by cat
        (PLAIN.encode() + PACKED + PLAIN.encode(), 120, 4, 0),
        (PACKED + gzip.compress(b"") + PACKED + bytes(512), 80, 4, 0),
        (PACKED + PLAIN.encode(), 80, 4, 0),
        # two formats
        ((JSON + PLAIN).encode(), 80, 4, 0),
        ((PLAIN + JSON).encode(), 80, 4, 0),
        ((JSON[:100].splitlines()[0] + "\n" + PLAIN).encode(), 41, 4, 0),
        # other lines first, or between
        (('{"level": "info", "msg": "start", "time": "2026-01-05T00:00:00Z"}\n' * 250 + PLAIN).encode(), 40, 4, 250),
        ((ERRORS * 250 + PLAIN).encode(), 40, 4, 250),
        ("".join(line + ERRORS for line in PLAIN.splitlines(keepends=True)).encode(), 40, 4, 40),
        (PLAIN.encode() + bytes(range(128, 256)) * 500 + b"\n" + PLAIN.encode(), 80, 4, 1),
        ((ERRORS * 20_000 + PLAIN).encode(), 40, 4, 20_000),
        (PLAIN.encode() + b"x" * 3_000_000 + b"\n" + PLAIN.encode(), 80, 4, 1),
        # a name that means something else here
        (objects(lambda i: {"client": "app", "client_ip": f"192.0.2.{i % 4}"}).encode(), 40, 4, 0),
        (objects(lambda i: {"src": "nginx", "ip": f"192.0.2.{i % 4}"}).encode(), 40, 4, 0),
        (objects(lambda i: {"client": f"app-{i % 4}"}).encode(), 40, 4, 0),
        (("time,client,client_ip\n" + "1767571200,app,192.0.2.1\n" * 9).encode(), 9, 1, 0),
    ],
)
def test_is_read_as_it_is_meant(content, requests, clients, broken, tmp_path):
    log = tmp_path / "log"
    log.write_bytes(content)
    report = replay_log(log, "5/minute")
    assert (report.requests, report.keys, report.source.broken) == (requests, clients, broken)


@pytest.mark.parametrize(
    "values", [{"time": 0.012, "timestamp": 1767571200}, {"time": 35, "ts": "2026-01-05T00:00:00Z"}]
)
def test_a_duration_is_not_the_time(values, tmp_path):
    log = tmp_path / "log"
    log.write_text(json.dumps({"client": "192.0.2.1", **values}) + "\n")
    assert replay_log(log, "5/minute").first_ns == 1_767_571_200 * 10**9


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 4_096])
def test_compressed_parts_begin_anywhere(size, tmp_path, monkeypatch):
    """However the marks of gzip are cut by the blocks that are read."""
    monkeypatch.setattr("ratelimit.replay.reading.files.BLOCK", size)
    log = tmp_path / "log"
    log.write_bytes(PLAIN.encode() + b"\x1f\n" + PACKED + b"\x1f\x8bx\n" + PACKED)
    report = replay_log(log, "5/minute")
    assert (report.requests, report.source.broken, report.source.damaged) == (120, 2, [])


def test_a_damaged_part_keeps_what_came_before(tmp_path):
    packer = zlib.compressobj(wbits=31)
    whole = packer.compress(PLAIN.encode()) + packer.flush(zlib.Z_FULL_FLUSH)
    log = tmp_path / "log"
    log.write_bytes(whole + b"\xff" * 50)
    report = replay_log(log, "5/minute")
    assert report.requests == 40
    assert len(report.source.damaged) == 1


def test_empty_rotated_parts_change_nothing(tmp_path, capsys):
    names = []
    for name, content in (
        ("a", PLAIN.encode()),
        ("b", b""),
        ("c.gz", gzip.compress(b"")),
        ("d", b"\n"),
        ("e.gz", PACKED),
    ):
        (tmp_path / name).write_bytes(content)
        names.append(str(tmp_path / name))
    assert command.main([*names, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["requests"] == 80


def test_more_clients_than_are_counted_are_more(tmp_path):
    log = tmp_path / "log"
    log.write_text(access(clients=9))
    report = replay_log(log, "1/minute", counted_keys=3)
    assert (report.keys, report.more_keys, report.requests) == (3, True, 40)
    from ratelimit.replay.render.text import table

    assert "refuses more than 3 of more than 3 clients" in table(report)


def test_a_log_of_the_future_takes_no_more_room(tmp_path, monkeypatch):
    """As from a host whose clock is ahead: keys still lose their slots in the time of the log."""
    monkeypatch.setattr("ratelimit.replay.logs.Rooms.grow", lambda *arguments: pytest.fail("the table was full"))
    log = tmp_path / "log.csv"
    rows = (f"{4_000_000_000 + 10 * i},client-{i}\n" for i in range(5_000))
    log.write_text("time,client\n" + "".join(rows))
    report = replay_log(log, ["60/minute", "sliding-log 60/minute"])
    assert (report.requests, report.keys) == (5_000, 5_000)
