"""Decide real traffic under every algorithm: `python examples/demo.py [LOG]`.

Each line of the access log is a request, its client's address the key, and the limit the same for all. Then it searches
for the limit that the log's usual clients stay within. Without a log it makes one of its own, see traffic.py.
"""

import sys
import tempfile
from pathlib import Path

from tqdm import tqdm
from traffic import write_log

from ratelimit.replay import Report, replay_log, suggest_log
from ratelimit.replay.render.text import suggestions

QUOTA = "30/minute"
ALGORITHMS = ["token-bucket", "leaky-bucket", "fixed-window", "sliding-window", "sliding-log"]


def decide(log: Path) -> Report:
    """Replay the log, with a progress bar on standard error."""
    size = log.stat().st_size
    with tqdm(total=size, unit="B", unit_scale=True, desc=log.name, disable=None) as bar:
        return replay_log(log, [f"{algorithm} {QUOTA}" for algorithm in ALGORITHMS], key="client", progress=bar.update)


def show(report: Report) -> None:
    """Per algorithm: admitted, refused, decisions per second, and who was refused most."""
    assert report.source is not None
    print(f"{report.requests:,} requests by {report.keys:,} clients; {report.source.broken:,} lines could not be read")
    print(f"{'limit':26}{'admitted':>10}{'refused':>10}{'decisions/s':>14}  most refused")
    for outcome in report.outcomes:
        top = ", ".join(f"{key.key} {key.refused:,}" for key in outcome.top[:3])
        speed = f"{outcome.decisions_per_second / 1e6:.1f} million"
        print(f"{outcome.limit:26}{outcome.admitted:10,}{outcome.refused:10,}{speed:>14}  {top}")


def demonstrate(log: Path) -> None:
    """Show what a limit does, and which limit the log suggests."""
    show(decide(log))
    print()
    print(suggestions(suggest_log(log)))


def main() -> None:
    if len(sys.argv) > 2 or sys.argv[1:2] in (["-h"], ["--help"]):
        sys.exit(__doc__)
    if len(sys.argv) == 2:
        demonstrate(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "access.log"
        print(f"made {write_log(log):,} lines of traffic")
        demonstrate(log)


if __name__ == "__main__":
    main()
