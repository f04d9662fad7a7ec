"""`ratelimit table` with the URL of an engine."""

import pytest
from ports import free_port

from ratelimit import FixedWindow, Table, TokenBucket
from ratelimit._cli import table as command


@pytest.fixture
def url(server):
    """The URL of a table that is in use."""
    bucket = TokenBucket("100/minute", burst=20, table=Table.valkey(server.url, name="api", timeout=5))
    bucket.allow("ann")
    bucket.allow("name")
    FixedWindow("7/hour", table=Table.valkey(server.url, name="other", timeout=5)).allow("label")
    return f"{server.url}?name=api&timeout=5"


def test_lists_the_tables_of_an_engine(server, url, capsys):
    assert command.main(["list", server.url]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["api", "token-bucket", "100/minute", "burst", "20"]
    assert second.split() == ["other", "fixed-window", "7/hour"]


def test_shows_a_table(server, url, capsys):
    assert command.main(["show", url]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown == {
        "engine": server.url,
        "limit": "token-bucket 100/minute burst 20",
        "keys": "2",
        "eviction": "noeviction",
    }


def test_changes_a_table_for_all_hosts(server, url, capsys):
    other = TokenBucket("100/minute", burst=20, table=Table.valkey(server.url, name="api", timeout=5))
    assert command.main(["change", url, "200/minute"]) == 0
    assert capsys.readouterr().out == "token-bucket 200/minute burst 20\n"
    other.table.remote._look_at = 0  # a second later
    other.allow("ann")
    assert str(other) == "token-bucket 200/minute burst 20"


def test_clears_and_removes_a_table(server, url, capsys):
    assert command.main(["clear", url]) == 0
    limiter = TokenBucket("100/minute", burst=20, table=Table.valkey(server.url, name="api", timeout=5))
    assert limiter.peek("ann").remaining == 20
    limiter.allow("ann")
    assert command.main(["remove", url]) == 0
    assert server.client.keys("rl:api:*") == []
    assert server.client.exists("rl:other:label"), "another table is not touched"
    assert command.main(["show", url]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_a_removed_table_may_be_made_for_another_limit(server, url):
    assert command.main(["remove", url]) == 0
    assert FixedWindow("5/hour", table=Table.valkey(server.url, name="api", timeout=5)).hit("ann").remaining == 4


@pytest.mark.parametrize("words", [["check"], ["show"]])
def test_names_what_is_wrong(server, url, capsys, words):
    gone = f"valkey://127.0.0.1:{free_port()}/0?name=api"
    assert command.main([*words, gone]) == 1
    assert capsys.readouterr().err.startswith("ratelimit table: ")
