"""The command `ratelimit table`."""

import struct

import pytest

from ratelimit import Table, TokenBucket
from ratelimit._storage.metadata import LABEL_SIZE
from ratelimit.tables import main


def test_only_tables_are_removed(tmp_path, capsys):
    """Whatever else is there stays."""
    other = tmp_path / "letter"
    for content in ("Dear table", ""):
        other.write_text(content)
        assert main(["remove", str(other)]) == 1
        assert "is no table of ratelimit, and is left where it is" in capsys.readouterr().err
        assert other.read_text() == content
    limits = tmp_path / "limits.tbl"
    TokenBucket("1/minute", table=Table.open(limits, max_keys=8))
    assert main(["remove", str(limits)]) == 0
    assert not limits.exists()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    """And not the other name under which a table is made; nor is a name too long for it."""
    with pytest.raises(FileNotFoundError, match=r"no/limits\.tbl"):
        TokenBucket("1/minute", table=Table.open(tmp_path / "no" / "limits.tbl"))
    assert TokenBucket("1/minute", table=Table.open(tmp_path / ("a" * 255), max_keys=8)).allow("key")


def test_who_looks_changes_nothing(tmp_path, capsys):
    """Not even the moment up to which was decided, an hour later."""
    path = tmp_path / "limits.tbl"
    TokenBucket("1/minute", table=Table.open(path, max_keys=8)).allow("key")
    content = bytearray(path.read_bytes())
    [latest] = struct.unpack_from("<Q", content, LABEL_SIZE + 16)
    struct.pack_into("<Q", content, LABEL_SIZE + 16, latest - 3_600 * 10**9)
    path.write_bytes(content)
    assert main(["show", str(path)]) == main(["check", str(path)]) == 0
    assert path.read_bytes() == content
    said = capsys.readouterr().out
    assert "limit        TokenBucket('1/minute')\n" in said
    assert "1 keys, 0 of them in two slots; 0 unfinished claims" in said


def test_shows_that_a_new_table_has_no_decisions(tmp_path, capsys):
    path = tmp_path / "limits.tbl"
    TokenBucket("1/minute", table=Table.open(path, max_keys=8))
    assert main(["show", str(path)]) == 0
    assert capsys.readouterr().out.endswith("decided      nothing yet\n")
