"""`--where`, `--since`, `--until` and `--sample` select requests."""

import json

import pytest

from ratelimit.replay import replay_log
from ratelimit.replay.cli import replay as replay_command

LIMITS = ["--limit", "token-bucket 60/minute burst 40", "--limit", "fixed-window 60/minute"]


@pytest.mark.parametrize(
    ("arguments", "requests"),
    [
        (["--where", "path ^= /login"], 2),
        (["--where", "path ^= /login and status >= 400"], 1),
        (["--where", "status = 404 or (method != GET and not path $= n)"], 1),
        (["--where", "path *= og or agent ~ '^curl/[0-9]'"], 3),
        (["--where", "size < 100"], 2),
        (["--where", 'agent = "-"'], 1),
        (["--since", "2026-01-05T00:02"], 2),
        (["--until", "2026-01-05 00:02:00"], 1),
        (["--since", "2026-01-05T00:02", "--until", "2026-01-05T00:03"], 1),
    ],
)
def test_conditions_choose_requests(arguments, requests, tmp_path, capsys):
    log = tmp_path / "log"
    log.write_text(
        '192.0.2.1 - - [05/Jan/2026:00:01:00 +0000] "POST /login HTTP/1.1" 401 50 "-" "-"\n'
        '192.0.2.1 - - [05/Jan/2026:00:02:00 +0000] "GET /login?next=x HTTP/1.1" 200 500 "-" "x"\n'
        '192.0.2.2 - - [05/Jan/2026:00:03:00 +0000] "GET /no HTTP/1.1" 404 9 "-" "curl/8"\n'
    )
    assert replay_command.main([str(log), *arguments, "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["requests"], report["source"]["excluded"]) == (requests, 3 - requests)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--where", "path"], "--where 'path': expected one of = != ^= "),
        (["--where", "path = /x y"], "expected 'and' or 'or', got 'y'"),
        (["--where", "status > many"], "expected a number after >"),
        (["--where", "(path = /x"], "expected ')', got the end"),
        (["--where", "path ~ '['"], "expected a regular expression in RE2's syntax after ~"),
        (["--where", "colour = red"], "no field 'colour' (choose from client"),
        (["--since", "soon"], "--since: expected a time such as 2026-01-05T12:00, got 'soon'"),
        (["--since", "2030-01-01 00:00"], "requests is left by --where, --since, --until and --sample"),
    ],
)
def test_rejects_wrong_conditions(arguments, says, made_log, capsys):
    assert replay_command.main([str(made_log), *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_sample_has_all_requests_of_its_clients(made_log):
    whole = replay_log(made_log, LIMITS[1::2])
    part = replay_log(made_log, LIMITS[1::2], sample=0.25)
    assert 0.2 < part.keys / whole.keys < 0.3
    requests = {key.key: (key.requests, key.refused) for key in whole.outcomes[0].top}
    assert all(requests[key.key] == (key.requests, key.refused) for key in part.outcomes[0].top)
    assert part.requests + part.source.excluded == whole.requests
