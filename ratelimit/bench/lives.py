"""Keys that stay live between their requests, and keys that become fresh, at each size of the population."""

from dataclasses import replace

from ratelimit.bench.measure import CHUNK, Contestant, Effort, Keys, Progress, Race, Work, looped, looped_making
from ratelimit.bench.report import Cell, Section, Table
from ratelimit.bench.scenarios import FLOOR, HOUR, OURS, Scenario, visits

LIVE = 1_000_000_000  # seconds: a key needs ten seconds for each of its requests to become fresh again
LIVES = {"live": LIVE, "fresh": HOUR}  # or 36 microseconds, less than the time between two of its requests
ALLOW = "TokenBucket.allow"
TEXT = """
A key whose quota is whole again is *fresh*: another key may take its slot, and at its next request it claims one. With
a text that is kept, CPython hashes each key once. With a text that is made for each call, the time of making it is in
both, `allow` and `dict.get`. A claim is a slot that is taken for a key.
"""


def measure(effort: Effort, progress: Progress) -> Section:
    ratios: list[list[Cell]] = []
    claims: list[list[Cell]] = []
    for distinct in (1, 100, 10_000, effort.many):
        scenario = Scenario(f"{distinct:,} keys", distinct, at_random=distinct == effort.many)
        ratios.append([scenario.name])
        claims.append([scenario.name])
        for name, period in LIVES.items():
            progress(f"allow, {scenario.name}, {name}")
            living = replace(scenario, period=period)
            for made_afresh in (False, True):
                ratio, taken = _race(living, made_afresh, effort)
                ratios[-1].append(ratio)
            claims[-1].append(taken)
    head = [f"{name}, text {text}" for name in LIVES for text in ("kept", "made for each call")]
    return Section(
        "Live keys and fresh keys",
        TEXT.strip(),
        [
            Table("`TokenBucket.allow`, ratio to `dict.get`", ["", *head], ratios),
            Table("Claims for each call", ["", *LIVES], claims),
        ],
        [],
    )


def _race(scenario: Scenario, made_afresh: bool, effort: Effort) -> tuple[float, float]:
    """Return the ratio of `allow` to `dict.get`, and how many slots a call claims."""
    chunks: list[Keys] = [list(chunk) for chunk in visits(scenario)]
    limiter = OURS["TokenBucket"](scenario.quota("TokenBucket"), max_keys=max(CHUNK, scenario.distinct))
    table = {key: True for chunk in chunks for key in chunk}
    if made_afresh:
        numbers: list[Keys] = [[int(key.removeprefix("user:")) for key in chunk] for chunk in chunks]
        contestants = [
            Contestant(FLOOR, lambda: Work(looped_making(table.get), numbers)),
            Contestant(ALLOW, lambda: Work(looped_making(limiter.allow), numbers)),
        ]
    else:
        contestants = [
            Contestant(FLOOR, lambda: Work(looped(table.get), chunks)),
            Contestant(ALLOW, lambda: Work(looped(limiter.allow), chunks)),
        ]
    for chunk in chunks:
        limiter.allow_many(list(chunk))
    race = Race(contestants, effort)
    before = limiter.claim_count
    for chunk in chunks:
        for key in chunk:
            limiter.allow(key)
    return race.ratio(ALLOW, FLOOR), (limiter.claim_count - before) / sum(map(len, chunks))
