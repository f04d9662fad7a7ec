"""The command `ratelimit suggest`."""

import json

import pytest

from ratelimit.language import ALGORITHMS
from ratelimit.replay import answer as answer_module
from ratelimit.replay import replay_log
from ratelimit.replay.cli import suggest as suggest_command
from ratelimit.replay.limits import Limit
from ratelimit.replay.logs import recorded
from ratelimit.replay.search import Replays, smallest


@pytest.fixture(scope="module")
def trace(made_log):
    from ratelimit.replay.reading.reader import Reader

    reader = Reader([str(made_log)])
    recording, _ = recorded(reader)
    return Replays(recording)


@pytest.fixture(scope="module")
def answer(made_log, tmp_path_factory):
    path = tmp_path_factory.mktemp("suggest") / "answer.json"
    assert suggest_command.main([str(made_log), "--refuse-at-most", "3%", "--json", str(path)]) == 0
    return json.loads(path.read_text())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_smaller_limit_than_the_suggested_one_refuses_too_many(algorithm, answer, trace, made_log):
    allowed = int(0.03 * len(trace))
    found = next(one for one in answer["suggestions"] if one["algorithm"] == algorithm)
    number = found["number"]
    outcome = replay_log(made_log, found["limit"]).outcomes[0]
    assert outcome.refused == found["refused"] <= allowed
    for smaller in {
        found["limit"].replace(f" {number}/", f" {number - 1}/"),
        found["limit"].replace(f"burst {found['at_once']}", f"burst {found['at_once'] - 1}"),
        found["limit"].replace(f"capacity {found['at_once'] - 1}", f"capacity {found['at_once'] - 2}"),
    } - {found["limit"]}:
        assert trace.refused(Limit.parse(smaller)) > allowed
    assert outcome.largest[0].admitted <= found["most"]


def test_curve_shows_the_refusals_of_each_limit(answer, trace):
    assert len(answer["suggestions"]) == 5
    for found in answer["suggestions"]:
        assert len(found["curve"]) > 4
        number, refused = found["curve"][2]["number"], found["curve"][2]["refused"]
        limit = found["limit"].replace(f" {found['number']}/", f" {number}/")
        assert trace.refused(Limit.parse(limit)) == refused
        shares = [point["refused"] for point in found["curve"]]
        assert shares == sorted(shares, reverse=True)


def test_suggests_no_limit_when_none_fits(tmp_path, capsys):
    """No request may be refused, and 50,000 come at once: too many for a sliding log."""
    path = tmp_path / "log.csv"
    path.write_text("time,client\n" + "1767571200,192.0.2.1\n" * 50_000)
    assert (
        suggest_command.main(
            [str(path), "--refuse-at-most", "0", "--algorithm", "sliding-log", "--algorithm", "fixed-window"]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "sliding-log: no limit refuses so few" in printed
    assert "fixed-window 50000/minute" in printed


def test_interrupted_search_prints_what_it_found(made_log, monkeypatch, capsys):
    whole = answer_module.suggest

    def interrupted(measure, algorithm, *rest):
        if algorithm == "sliding-window":
            raise KeyboardInterrupt
        return whole(measure, algorithm, *rest)

    monkeypatch.setattr(answer_module, "suggest", interrupted)
    chosen = [word for name in ("fixed-window", "sliding-window") for word in ("--algorithm", name)]
    assert suggest_command.main([str(made_log), *chosen]) == 1
    printed = capsys.readouterr().out
    assert "interrupted: this is what was known by then" in printed
    assert "fixed-window " in printed
    assert "sliding-window" not in printed


@pytest.mark.parametrize("share", ["100%", "some", "2", "nan"])
def test_rejects_invalid_shares(share, made_log, capsys):
    with pytest.raises(SystemExit):
        suggest_command.main([str(made_log), "--refuse-at-most", share])
    assert "expected a share such as 0.1% or 0.001" in capsys.readouterr().err


def test_search_finds_the_smallest_number():
    for least in range(1, 40):
        for below in range(1, 40):
            assert smallest(lambda number: number >= least, below) == min(least, below)  # noqa: B023
