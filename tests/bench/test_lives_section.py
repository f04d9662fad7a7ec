"""The section about live and fresh keys, and the populations of the section about memory, in a short run."""

from ratelimit.bench import lives, memory
from ratelimit.bench.measure import Effort

LITTLE = Effort(rounds=2, piece_ns=100_000, many=1_000)


def test_live_keys_claim_no_slots():
    section = lives.measure(LITTLE, lambda step: None)
    ratios, claims = section.tables
    assert [row[0] for row in ratios.rows] == ["1 keys", "100 keys", "10,000 keys", "1,000 keys"]
    assert all(value > 0 for row in ratios.rows for value in row[1:])
    assert all(live == 0 and 0 <= fresh <= 1 for _, live, fresh in claims.rows)


def test_populations_grow_by_about_three():
    assert memory.populations(3_000) == [1, 3, 10, 30, 100, 300, 1_000, 3_000]


def test_every_key_of_a_population_is_live():
    size, live = memory.grown_by_ours("TokenBucket", 300, 1_000, 1, 1_000)
    assert live == 300
    assert size >= 0
