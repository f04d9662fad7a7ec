"""Write the access log of a small site: `python examples/traffic.py FILE [--days N] [--seed N]`.

It has more visitors by day than by night, crawlers, a script that runs at each full minute, a client that guesses
passwords, and a scan from changing IPv6 addresses of one network. All addresses are from the ranges that are
reserved for documentation. The same seed writes the same log.
"""

import argparse
import random
import time
from collections.abc import Iterator
from math import cos, pi
from pathlib import Path
from typing import NamedTuple

DAY = 86_400
START = 1_767_571_200  # Monday, 2026-01-05, 00:00 UTC
PAGES = ["/", "/about", "/blog", "/blog/queues", "/blog/buckets", "/docs", "/docs/install", "/prices", "/contact"]
ASSETS = ["/static/site.css", "/static/site.js", "/static/logo.svg", "/static/font.woff2", "/img/1.webp", "/img/2.webp"]
AGENTS = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36",
]


class Request(NamedTuple):
    moment: float  # seconds since the epoch
    client: str
    user: str
    method: str
    target: str
    status: int
    size: int
    agent: str


def day(seed: int, number: int) -> list[Request]:
    """Return all requests of one day, sorted by time."""
    rng = random.Random(f"{seed} {number}")
    begin = START + number * DAY
    sources = (visitors, crawlers, script, passwords, scan)
    return sorted(request for source in sources for request in source(rng, begin))


def visitors(rng: random.Random, begin: int) -> Iterator[Request]:
    """Yield sessions: a page with its pictures, a pause to read it, the next page."""
    for _ in range(1_600):
        moment = begin + by_daylight(rng)
        client = rng.choice(
            [f"192.0.2.{rng.randrange(1, 255)}", f"2001:db8:{rng.randrange(4_000):x}::{rng.randrange(1, 9):x}"]
        )
        agent, user = rng.choice(AGENTS), rng.choice(["-", "-", "-", f"user{rng.randrange(300)}"])
        for _ in range(1 + int(rng.expovariate(0.4))):
            yield Request(moment, client, user, "GET", rng.choice(PAGES), 200, rng.randrange(2_000, 60_000), agent)
            for asset in rng.sample(ASSETS, rng.randrange(3, 7)):
                yield Request(
                    moment + rng.uniform(0.05, 1.5), client, user, "GET", asset, 200, rng.randrange(300, 90_000), agent
                )
            moment += 2 + rng.expovariate(1 / 40)


def crawlers(rng: random.Random, begin: int) -> Iterator[Request]:
    """Yield two crawlers: a polite one all day, and one that fetches the whole site in two hours."""
    for client, first, last, pause in (("198.51.100.7", 0, DAY, 12), ("198.51.100.80", 10_800, 18_000, 0.8)):
        moment = begin + first
        while (moment := moment + rng.expovariate(1 / pause)) < begin + last:
            target = f"{rng.choice(PAGES)}?page={rng.randrange(400)}"
            yield Request(
                moment, client, "-", "GET", target, 200, rng.randrange(2_000, 60_000), f"ExampleBot/1.{len(client)}"
            )


def script(rng: random.Random, begin: int) -> Iterator[Request]:
    """Yield the requests of a program that fetches 50 pages around each full minute."""
    for minute in range(6 * 60, 20 * 60):
        for _ in range(50):
            moment = begin + 60 * minute + rng.uniform(-4, 4)
            yield Request(
                moment,
                "203.0.113.20",
                "reports",
                "GET",
                f"/api/v1/items/{rng.randrange(900)}",
                200,
                512,
                "python-requests/2.33",
            )


def passwords(rng: random.Random, begin: int) -> Iterator[Request]:
    """Yield nine minutes of password guesses."""
    moment = begin + rng.uniform(2, 5) * 3_600
    for _ in range(6_000):
        moment += rng.expovariate(11)
        yield Request(moment, "203.0.113.66", "-", "POST", "/login", 401, 128, "Go-http-client/2.0")


def scan(rng: random.Random, begin: int) -> Iterator[Request]:
    """Yield requests, each from another address of one /64 network."""
    moment = begin + 15 * 3_600
    for _ in range(4_000):
        moment += rng.expovariate(8)
        client = f"2001:db8:bad:1:{rng.randrange(2**16):x}:{rng.randrange(2**16):x}::{rng.randrange(1, 2**16):x}"
        yield Request(
            moment, client, "-", "GET", f"/.{rng.choice(['env', 'git/config', 'aws/credentials'])}", 404, 146, "-"
        )


def by_daylight(rng: random.Random) -> float:
    """Return a second of the day; one in the afternoon is ten times as likely as one at night."""
    while True:
        second = rng.uniform(0, DAY)
        if rng.random() < 0.55 - 0.45 * cos(2 * pi * (second - 3 * 3_600) / DAY):
            return second


def line(request: Request) -> str:
    """Return the line of a request in the combined log format."""
    when = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(request.moment))
    first = f"{request.method} {request.target} HTTP/1.1"
    return (
        f'{request.client} - {request.user} [{when}] "{first}" {request.status} {request.size} "-" "{request.agent}"\n'
    )


def write_log(path: str | Path, days: int = 1, seed: int = 7) -> int:
    """Write the log and return the number of its lines; the memory is that of one day."""
    lines = 0
    with open(path, "w", encoding="ascii") as file:
        for number in range(days):
            requests = day(seed, number)
            file.writelines(map(line, requests))
            lines += len(requests)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Make an access log.")
    parser.add_argument("file")
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    print(f"{options.file}: {write_log(options.file, options.days, options.seed):,} lines")


if __name__ == "__main__":
    main()
