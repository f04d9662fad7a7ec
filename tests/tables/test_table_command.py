"""The command `ratelimit table`."""

import os
import re
import struct

import pytest

from ratelimit import Table, TokenBucket
from ratelimit._cli.table import main
from ratelimit._engine.constants import HEADER_OFFSET


def test_removes_only_tables(tmp_path, capsys):
    """Other files are kept."""
    other = tmp_path / "letter"
    for content in ("Dear table", ""):
        other.write_text(content)
        assert main(["remove", str(other)]) == 1
        assert "is not a ratelimit table, and was not removed" in capsys.readouterr().err
        assert other.read_text() == content
    limits = tmp_path / "limits.tbl"
    TokenBucket("1/minute", table=Table.open(limits, max_keys=8))
    assert main(["remove", str(limits)]) == 0
    assert not limits.exists()


def test_error_names_a_missing_folder(tmp_path):
    """It does not name the temporary file under which a table is created. A name may have 255 bytes."""
    with pytest.raises(FileNotFoundError, match=r"no/limits\.tbl"):
        TokenBucket("1/minute", table=Table.open(tmp_path / "no" / "limits.tbl"))
    assert TokenBucket("1/minute", table=Table.open(tmp_path / ("a" * 255), max_keys=8)).allow("key")


def test_showing_a_table_does_not_change_it(tmp_path, capsys):
    """The time of the latest decision stays the same an hour later."""
    path = tmp_path / "limits.tbl"
    TokenBucket("1/minute", table=Table.open(path, max_keys=8)).allow("key")
    content = bytearray(path.read_bytes())
    [latest] = struct.unpack_from("<Q", content, HEADER_OFFSET + 16)
    struct.pack_into("<Q", content, HEADER_OFFSET + 16, latest - 3_600 * 10**9)
    path.write_bytes(content)
    assert main(["show", str(path)]) == main(["check", str(path)]) == 0
    assert path.read_bytes() == content
    said = capsys.readouterr().out
    assert "limit        token-bucket 1/minute\n" in said
    assert "1 keys, 0 of them in two slots; 0 unfinished claims" in said


def test_shows_that_a_new_table_has_no_decisions(tmp_path, capsys):
    path = tmp_path / "limits.tbl"
    TokenBucket("1/minute", table=Table.open(path, max_keys=8))
    assert main(["show", str(path)]) == 0
    assert capsys.readouterr().out.endswith("decided      nothing yet\n")


def test_change_and_list_print_limits_as_text(capsys):
    table = Table.shared(f"listed-{os.getpid()}", max_keys=8)
    TokenBucket("1/minute", table=table)
    try:
        assert main(["change", table.name, "5/minute", "--burst", "9"]) == 0
        assert capsys.readouterr().out == "token-bucket 5/minute burst 9\n"
        assert main(["list"]) == 0
    finally:
        table.remove()
    line = rf"{table.name:30} token-bucket 5/minute burst 9, 0 of 8 keys live, [\d,]+ of 4,224 bytes taken, "
    assert re.search(line + r"(decided 0 s ago|nothing decided yet)\n", capsys.readouterr().out)
