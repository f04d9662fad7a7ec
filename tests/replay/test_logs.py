"""Reading logs: formats, compression, moments, order, and what cannot be read.

In one file: the tests have the made-up logs in common.
"""

import gzip
import io
import json
import re
import subprocess
import sys
import zlib
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools import program

from ratelimit.replay import replay_log
from ratelimit.replay.batch import Batch
from ratelimit.replay.logs import recorded
from ratelimit.replay.reading import files
from ratelimit.replay.reading.addresses import address
from ratelimit.replay.reading.reader import Reader
from ratelimit.replay.reading.timestamps import BROKEN, from_clf, from_text
from ratelimit.replay.render.text import heading
from ratelimit.replay.trace import Trace, spill_folder

SECOND = 10**9
START = 1_767_571_200
REQUESTS = [  # moment, client, user, method, target, agent
    (0.25, "192.0.2.1", "ann", "GET", "/api/v1/items?page=2", 'Quoted "agent"'),
    (1.5, "2001:db8:1:2:3::4", "-", "POST", "/login", "curl/8"),
    (1.5, "::ffff:192.0.2.1", "ann", "GET", "/api/v1", "curl/8"),
    (3, "2001:db8:1:2::9", "bob", "GET", "/", "-"),
]


def clf(moment, client, user, method, target, agent):
    when = datetime.fromtimestamp(START + int(moment), UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    return f'{client} - {user} [{when}] "{method} {target} HTTP/1.1" 200 17'


def combined(*request):
    agent = request[-1].replace('"', '\\"')
    return f'{clf(*request)} "-" "{agent}"'


def nginx(moment, client, user, method, target, agent):
    record = {
        "msec": START + moment, "remote_addr": client, "remote_user": "" if user == "-" else user,
        "request": f"{method} {target} HTTP/1.1", "http_user_agent": agent, "http_x_api_key": f"key of {user}",
    }  # fmt: skip
    return json.dumps(record)


def records(moment, client, user, method, target, agent):
    when = datetime.fromtimestamp(START + moment, UTC).isoformat()
    return json.dumps({"timestamp": when, "client": client, "user": user, "method": method, "path": target,
                       "header": {"x-api-key": f"key of {user}"}, "agent": agent})  # fmt: skip


def rows(moment, client, user, method, target, agent):
    quoted = '"' + agent.replace('"', '""') + '"'
    return f"{START + moment},{client},{user},{method},{target},{quoted}"


FORMATS = {
    "common": (clf, ""),
    "combined": (combined, ""),
    "nginx JSON": (nginx, ""),
    "JSON lines": (records, ""),
    "CSV": (rows, "time,client,user,method,target,agent\n"),
}


@pytest.fixture(params=FORMATS)
def form(request):
    return request.param


def text_of(form, requests=REQUESTS):
    write, heading = FORMATS[form]
    return heading + "".join(write(*request) + "\n" for request in requests)


def read(tmp_path, content, key="client", name="log", **options):
    """Return (time, key) of all requests, and the reader."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_all([str(path)], key, **options)


def read_all(sources, key="client", **options):
    reader = Reader(sources, key, **options)
    trace, _ = recorded(reader)
    rows = [
        (moment, reader.name(number))
        for batch in trace.batches()
        for moment, number in zip(batch.times.tolist(), batch.ids.tolist(), strict=True)
    ]
    return rows, reader


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("client", ["192.0.2.1", "2001:db8:1:2:3::4", "192.0.2.1", "2001:db8:1:2::9"]),
        ("client/64", ["192.0.2.1", "2001:db8:1:2::/64", "192.0.2.1", "2001:db8:1:2::/64"]),
        ("client/24/48", ["192.0.2.0/24", "2001:db8:1::/48", "192.0.2.0/24", "2001:db8:1::/48"]),
        ("user", ["ann", "-", "ann", "bob"]),
        ("method + path/2", ["GET /api/v1", "POST /login", "GET /api/v1", "GET /"]),
        ("path", ["/api/v1/items", "/login", "/api/v1", "/"]),
        ("user + client/48", ["ann 192.0.2.1", "- 2001:db8:1::/48", "ann 192.0.2.1", "bob 2001:db8:1::/48"]),
    ],
)
def test_every_format_gives_the_same_requests(form, key, expected, tmp_path):
    found, reader = read(tmp_path, text_of(form), key)
    assert [name for _, name in found] == expected
    exact = form not in ("common", "combined")
    assert [moment for moment, _ in found] == [
        START * SECOND + round((at if exact else int(at)) * SECOND) for at, *_ in REQUESTS
    ]
    assert (reader.lines, reader.broken) == (4, 0)


def test_reads_headers_and_other_fields(tmp_path):
    expected = ["key of ann", "key of -", "key of ann", "key of bob"]
    assert [name for _, name in read(tmp_path, text_of("JSON lines"), "header.x-api-key")[0]] == expected
    found = [name for _, name in read(tmp_path, text_of("nginx JSON"), "header.X-Api-Key")[0]]
    assert found == ["key of ann", "key of ", "key of ann", "key of bob"] or found == expected
    for form in ("combined", "nginx JSON", "JSON lines"):
        agents = [name for _, name in read(tmp_path, text_of(form), "agent")[0]]
        assert [agent.replace("\\", "") for agent in agents] == ['Quoted "agent"', "curl/8", "curl/8", "-"]
    with pytest.raises(ValueError, match=r"no field 'header.x' \(choose from client, user"):
        read(tmp_path, text_of("common"), "header.x")
    with pytest.raises(ValueError, match="a csv log has no field 'nobody'"):
        read(tmp_path, text_of("CSV"), "nobody")


@pytest.mark.parametrize("compression", ["plain", "gzip", "two gzip members", "zstd"])
def test_reads_compressed_files(form, compression, tmp_path):
    content = text_of(form).encode()
    if compression == "gzip":
        content = gzip.compress(content)
    elif compression == "two gzip members":
        half = content.index(b"\n") + 1
        content = gzip.compress(content[:half]) + gzip.compress(content[half:])
    elif compression == "zstd":
        content = subprocess.run([program("zstd"), "-c"], input=content, capture_output=True, check=True).stdout
    assert read(tmp_path, content)[0] == read(tmp_path, text_of(form))[0]


@pytest.mark.parametrize("compression", ["plain", "gzip"])
def test_reads_standard_input(form, compression):
    content = text_of(form).encode()
    run = [sys.executable, "-m", "ratelimit", "replay", "--limit", "token-bucket 1/hour", "--json", "-"]
    done = subprocess.run(run, input=gzip.compress(content) if compression == "gzip" else content, capture_output=True)
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (report["requests"], report["keys"], report["outcomes"][0]["refused"]) == (4, 3, 1)
    assert report["source"]["names"] == ["-"]


def test_broken_lines_are_counted_shown_and_skipped(form, tmp_path):
    write, heading = FORMATS[form]
    good = [write(*request) for request in REQUESTS]
    bad = ["nonsense", '{"half": ', good[0].replace("2026", "9926").replace(str(START), "x"), "\x00\xff" * 3, ""]
    lines = [good[0], bad[0], good[1], *bad[1:4], good[2], bad[4], good[3]]
    content = heading + "\n".join(lines) + "\n"
    found, reader = read(tmp_path, content.encode("latin-1"), name="broken.log")
    assert [moment for moment, _ in found] == [moment for moment, _ in read(tmp_path, text_of(form))[0]]
    assert (reader.lines, reader.broken, reader.blank) == (8, 4, 1)
    after = 1 if heading else 0
    assert [line for _, line, _ in reader.broken_lines] == [number + after for number in (2, 4, 5, 6)]
    assert reader.broken_lines[0] == (str(tmp_path / "broken.log"), 2 + after, "nonsense")


def test_an_open_quote_affects_no_other_line(tmp_path):
    content = text_of("CSV").splitlines()
    content.insert(2, content[1].removesuffix('"').replace('""', "") + " half")
    found, reader = read(tmp_path, "\n".join(content))
    assert [moment for moment, _ in found] == [moment for moment, _ in read(tmp_path, text_of("CSV"))[0]]
    assert [number for _, number, _ in reader.broken_lines] == [3]


@pytest.mark.parametrize("size", [64, 200, 333, 1_000])
def test_blocks_of_any_size_have_the_same_lines(form, size, tmp_path, monkeypatch):
    content = text_of(form, REQUESTS * 20)
    whole = read(tmp_path, content)[0]
    monkeypatch.setattr(files, "BLOCK", size)
    found, reader = read(tmp_path, content.removesuffix("\n"))
    assert found == whole
    assert (reader.lines, reader.broken) == (80, 0)


def test_a_line_without_an_end_takes_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LONGEST", 1_000)
    monkeypatch.setattr(files, "BLOCK", 512)
    content = text_of("combined") + "x" * 100_000 + "\n" + text_of("combined")
    path = tmp_path / "log"
    path.write_text(content)
    assert max(len(block.data) for block in files.read_blocks(str(path))) < 3_000
    found, reader = read(tmp_path, content)
    assert (len(found), reader.lines, reader.broken) == (8, 9, 1)


def test_several_files_are_merged_in_order(form, tmp_path):
    """Two servers log at the same time, and the newest file of a rotation is named first."""
    newest = text_of(form, [(at + 100, *rest) for at, *rest in REQUESTS])
    sources = []
    for name, content in (("log", newest), ("log.1", text_of(form)), ("other", text_of(form))):
        (tmp_path / name).write_text(content)
        sources.append(str(tmp_path / name))
    found, reader = read_all(sources)
    assert [moment for moment, _ in found] == sorted(moment for moment, _ in found)
    assert len(found) == 12
    assert reader.source().out_of_order == 0


def test_rejects_files_that_are_not_logs(tmp_path):
    with pytest.raises(
        ValueError, match="unknown format; describe it by --log-format or --pattern; its first line is: dear diary"
    ):
        read(tmp_path, "dear diary\nnothing happened\n")
    with pytest.raises(ValueError, match="expected a log, got an empty file"):
        read(tmp_path, "")
    with pytest.raises(FileNotFoundError):
        read_all([str(tmp_path / "nowhere")])


# --- moments


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2099, 12, 30)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_timestamps_of_access_logs(moment, east):
    moment = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=east)))
    text = moment.strftime("%d/%b/%Y:%H:%M:%S %z")
    assert from_clf(np.array([text.encode()]))[0] == round(moment.timestamp()) * SECOND
    assert from_text(text) == round(moment.timestamp()) * SECOND


@pytest.mark.parametrize(
    "text",
    [
        "31/Jun/2026:10:00:00 +0000", "00/May/2026:10:00:00 +0000", "17/Mai/2026:10:00:00 +0000",
        "17/May/2026:24:00:00 +0000", "17/May/2026:10:60:00 +0000", "17/May/2026:10:00:00 *0000",
        "17/May/1969:10:00:00 +0000", "17-May-2026:10:00:00 +0000", "1x/May/2026:10:00:00 +0000",
        "01/Jan/1970:00:30:00 +0100",
    ],
)  # fmt: skip
def test_malformed_timestamps_are_broken_lines(text):
    both = from_clf(np.array([text.encode(), b"17/May/2026:10:00:00 +0000"]))
    assert both.tolist() == [BROKEN, 1_779_012_000 * SECOND]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1767571200.123", 1_767_571_200_123_000_000),
        ("1767571200", 1_767_571_200_000_000_000),
        ("1767571200123", 1_767_571_200_123_000_000),
        ("1767571200123456", 1_767_571_200_123_456_000),
        ("1767571200123456789", 1_767_571_200_123_456_789),
        ("2026-01-05T00:00:00Z", 1_767_571_200_000_000_000),
        ("2026-01-05 00:00:00.25", 1_767_571_200_250_000_000),
        ("2026-01-05T02:00:00+02:00", 1_767_571_200_000_000_000),
        ("yesterday", BROKEN), ("", BROKEN), ("nan", BROKEN), ("-5", BROKEN), ("1e30", BROKEN), ("inf", BROKEN),
    ],
)  # fmt: skip
def test_timestamps_of_other_logs(text, moment):
    assert from_text(text) == moment


# --- order


def batch(times, first_id=0):
    times = np.array(times, np.int64)
    return Batch(times, times.astype(np.uint64), np.arange(first_id, first_id + len(times), dtype=np.int32))


@given(st.lists(st.lists(st.integers(0, 50), max_size=20)), st.integers(1, 20), st.integers(1, 20))
def test_a_trace_is_sorted_whatever_the_order_of_the_lines(parts, run_size, merged):
    """Requests of one moment stay in the order of the lines."""
    whole = [time for part in parts for time in part]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ratelimit.replay.trace.RUN_SIZE", run_size)
        patch.setattr("ratelimit.replay.trace.MERGED", merged)
        patch.setattr("ratelimit.replay.trace.SMALLEST_PIECE", 1)
        trace, size = Trace(), 0
        for part in parts:
            trace.add(batch(part, size))
            size += len(part)
        for _ in range(2):
            rows = [row for part in trace.batches() for row in zip(part.times.tolist(), part.ids.tolist(), strict=True)]
            assert rows == sorted(zip(whole, range(len(whole)), strict=True))
    assert len(trace) == len(whole)


@pytest.mark.parametrize("order", ["reversed", "rotated files in the shell's order", "shuffled"])
def test_lines_in_any_order_give_the_same_report(order, made_log, tmp_path, monkeypatch):
    monkeypatch.setattr("ratelimit.replay.trace.RUN_SIZE", 5_000)
    lines = made_log.read_text().splitlines(keepends=True)
    if order == "reversed":
        mixed = lines[::-1]
    elif order == "shuffled":
        mixed = np.random.default_rng(6).permutation(lines).tolist()
    else:
        cut = len(lines) // 3
        mixed = lines[2 * cut :] + lines[:cut] + lines[cut : 2 * cut]
    path = tmp_path / "mixed.log"
    path.write_text("".join(mixed))
    limits = ["sliding-log 60/minute", "fixed-window 60/minute"]
    right, report = replay_log(made_log, limits), replay_log(path, limits)
    assert report.source.out_of_order > 1_000
    for one, other in zip(right.outcomes, report.outcomes, strict=True):
        assert (one.admitted, one.refused, one.keys_refused) == (other.admitted, other.refused, other.keys_refused)


def test_temporary_files_are_on_a_disk(monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/dev/shm")
    assert not spill_folder().startswith("/dev/shm")
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/var/tmp")
    assert spill_folder() == "/var/tmp"


def test_progress_is_in_bytes_of_the_file(tmp_path):
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(text_of("combined", REQUESTS * 5_000).encode()))
    told = []
    replay_log(path, "token-bucket 1/second", progress=told.append)
    assert sum(told) == path.stat().st_size


def test_random_bytes_are_never_fatal(tmp_path):
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, 200_000, dtype=np.uint8).tobytes()
    for form in FORMATS:
        content = text_of(form, REQUESTS * 100).encode()
        content += noise + b"\n" + re.sub(rb"^.*\n", b"", content, count=1)
        found, reader = read(tmp_path, io.BytesIO(content).getvalue())
        assert len(found) >= 700
        assert reader.broken >= 1


@pytest.mark.parametrize("size", [10_000, 100_000, 900_000])
def test_truncated_compressed_file_is_read_up_to_the_cut(tmp_path, size):
    """Each whole line before the cut is counted, and the report has a note."""
    import random

    rng = random.Random(5)
    lines = "".join(f"{1_767_571_200 + i},{rng.getrandbits(64):x}\n" for i in range(100_000))
    whole = gzip.compress(("time,client\n" + lines).encode())
    log = tmp_path / "log.csv.gz"
    log.write_bytes(whole[:size])
    report = replay_log(log, "fixed-window 1/minute")
    there = zlib.decompressobj(31).decompress(whole[:size])
    assert report.requests == max(there.count(b"\n") - 1, 0) < 100_000
    assert report.source.broken == 0
    assert [name for name, _ in report.source.damaged] == [str(log)]
    assert any("only what came before is counted" in line for line in heading(report))


def test_rejects_binary_files(tmp_path):
    """With a named format, the error names the missing field in printable characters."""
    log = tmp_path / "log"
    log.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(ValueError, match="unknown format"):
        replay_log(log, "fixed-window 1/minute")
    with pytest.raises(ValueError, match="no field 'time'") as raised:
        replay_log(log, "fixed-window 1/minute", format="csv")
    assert str(raised.value).isprintable()


def test_address_with_a_zone():
    """By its prefix it equals the address without the zone; the whole address is a key of its own."""
    assert address(b"fe80::1%eth0", 32, 64) == b"fe80::/64"
    assert address(b"fe80::1%eth0") == b"fe80::1%eth0"


@pytest.mark.parametrize("text", ["1e999999999", "-1e999999999", "1e-999999999", "9" * 400, "Infinity", "sNaN"])
def test_timestamp_with_a_huge_exponent_takes_no_time(text):
    """The line is broken, or the time is so small that it is zero."""
    assert from_text(text) == (0 if text == "1e-999999999" else BROKEN)


def test_byte_order_mark_is_not_part_of_the_first_line(form, tmp_path):
    """Editors and some exports write one."""
    found, reader = read(tmp_path, b"\xef\xbb\xbf" + text_of(form).encode())
    assert found[0][1] == "192.0.2.1"
    assert (len(found), reader.broken) == (4, 0)


@pytest.mark.parametrize("start", [b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"\x04\x22M\x18", b"\x28\xb5\x2f\xfd", b"BZh9"])
def test_rejects_a_compressed_file_of_which_nothing_is_left(start, tmp_path):
    with pytest.raises(ValueError, match="log: nothing could be read; "):
        read(tmp_path, start + b"\xff" * 100)


def test_an_archive_is_named(tmp_path):
    with pytest.raises(ValueError, match="log: expected a log, got a zip archive; unpack it first"):
        read(tmp_path, b"PK\x03\x04" + bytes(100))


def test_error_names_the_log_that_lacks_a_field(tmp_path):
    good = tmp_path / "good.csv"
    good.write_text("time,client,colour\n1,a,b\n")
    for name, content in (("bad.csv", "time,who\n1,a\n"), ("bad.log", text_of("common"))):
        bad = tmp_path / name
        bad.write_text(content)
        with pytest.raises(ValueError, match=f"{name}: a c.* log has no field "):
            read_all([str(good), str(bad)], "client" if name == "bad.csv" else "colour")
