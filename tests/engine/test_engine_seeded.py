"""Errors that are put into the scripts on purpose are found by the comparison with the oracle."""

from importlib.resources import files

import pytest
from cases import ALGORITHMS
from test_engine_exact import compare

from ratelimit._storage.valkey import engine

STEPS = [("hit", 1 + i % 3, i % 5) for i in range(12)] + [
    *[("reserve", 1, 0), ("hit", 1, 1), ("reserve", 2, 0), ("cancel", 1, 0), ("hit", 1, 0), ("settle", 1, 3)],
    *[("refund", 2, 0), ("hit", 1, 0), ("reserve", 3, 1), ("hit", 2, 2), ("settle", 1, 1), ("hit", 1, 0)],
    *[("hit", 1, 0), ("hit", 1, 1), ("peek", 2, 0), ("reset", 1, 0), ("hit", 4, 1)],
]
ERRORS = [
    ("token bucket", "local ahead = us - NOW - q[8]", "local ahead = us - NOW - q[8] - 400"),
    ("token bucket", "left_us, left_lo = excess(b_us, b_lo, NOW, 0, base)", "left_us, left_lo = q[6], q[7]"),
    ("token bucket", "if before(us, lo, from_us, from_lo) then us, lo = from_us, from_lo end", ""),
    ("leaky bucket", "if q[1] == TOKEN_BUCKET then\n    us, lo = plus", "if true then\n    us, lo = plus"),
    ("fixed window", "s[2] + q[6] > q[7] then return false", "s[2] >= q[7] then return false"),
    ("first window", "return q[1] == FIRST_WINDOW and at or", "return q[1] == FIRST_WINDOW and at + 1 or"),
    ("sliding window", "if window == s[1] + 1 then return window, s[3], 0 end", ""),
    ("sliding window", "return before(ah, al, ch, cl)", "return ah < ch"),
    ("sliding log", "q[7] - q[6] - pending)", "q[7] - pending - 1)"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), ERRORS)
def test_an_error_in_a_script_is_found(shared_server, monkeypatch, name, right, wrong):
    folder = files("ratelimit._storage.valkey") / "scripts"
    texts = [entry.read_text() for entry in sorted(folder.iterdir()) if entry.name.endswith(".lua")]
    whole = "\n".join(text for text in texts if not text.startswith("-- The usual case"))
    assert right in whole
    text = whole.replace(right, wrong, 1).encode()
    monkeypatch.setattr(engine, "script", lambda: (text, engine.hashlib.sha1(text).hexdigest().encode()))
    algorithm = next(one for one in ALGORITHMS if one.name == name)
    with pytest.raises(AssertionError):
        for period in (1_000_000, 3_600_000_000_000):
            for limit in (1, 2, 3, 5, 7):
                compare(shared_server, algorithm, limit, period, STEPS * 2, False)
