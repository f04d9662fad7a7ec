"""Shared memory, files and floods: each part does the work that its time is reported for."""

import pytest

import ratelimit
from ratelimit.bench import sharing
from ratelimit.bench.measure import Effort

LITTLE = Effort(rounds=2, piece_ns=100_000, many=4_000)


def test_fills_and_opens_a_file(tmp_path):
    path = str(tmp_path / "limits.tbl")
    assert sharing.fill(path, LITTLE.many) == LITTLE.many
    assert min(sharing.opening(path, LITTLE.many)) > 0
    ratelimit.Limiter.of(ratelimit.Table.open(path)).reset(LITTLE.many // 2)
    with pytest.raises(RuntimeError, match="not in the file"):
        sharing.opening(path, LITTLE.many)


@pytest.mark.parametrize("kind", [sharing.IDLE, sharing.LIVE])
def test_flood_evicts_no_live_key(kind):
    result = sharing.flood(kind, LITTLE)
    assert result["forgiven"] == 0
    assert result["usual"] > 0
    assert result["ns"] > 0


def test_short_run_of_every_part():
    section = sharing.measure(LITTLE, lambda step: None)
    targets = {target.what: target.measured for target in section.targets}
    assert len(targets) == 6
    assert targets.pop("live keys forgiven in the flood") == 0
    assert targets.pop("memory during the flood") < 50
    assert all(measured > 0 for measured in targets.values())
    assert not [name for name in ratelimit.Table.names() if name.startswith("bench-")]
