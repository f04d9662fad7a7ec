"""A log of any size is replayed in bounded memory.

RATELIMIT_BIG_LOG sets the megabytes of the log; 1,000 and more for the real proof, otherwise as much as is quick.
"""

import json
import os
import subprocess
import sys
import time

import pytest
from traffic import DAY, START, day, line

pytestmark = pytest.mark.slow

MEGABYTES = int(os.environ.get("RATELIMIT_BIG_LOG", "150"))
RUN = """
import json, re, sys
from pathlib import Path
from ratelimit.replay import replay_log
report = replay_log(sys.argv[1], sys.argv[2:], key="client")
# Not ru_maxrss: that also has the peak of the process that started this one.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
print(json.dumps([peak, report.requests, report.keys, report.source.broken]))
"""
LIMITS = [
    f"{name} 60/minute" for name in ("token-bucket", "leaky-bucket", "fixed-window", "sliding-window", "sliding-log")
]


@pytest.fixture
def big_log(tmp_path):
    """Write the same day repeatedly, the latest first, with other addresses for the scan, so that the number of keys grows."""
    path = tmp_path / "big.log"
    lines = [line(request) for request in day(7, 0)]
    days = 0
    with open(path, "w", encoding="ascii") as file:
        while file.tell() < MEGABYTES * 1_000_000:
            date = time.strftime("%d/%b/%Y", time.gmtime(START + (2_000 - days) * DAY))
            scan = f"2001:db8:{days:x}:1:"
            file.writelines(
                one.replace("05/Jan/2026", date).replace("06/Jan/2026", date).replace("2001:db8:bad:1:", scan)
                for one in lines
            )
            days += 1
    yield path, days * len(lines)
    path.unlink()


def test_big_log_takes_at_most_200_megabytes(big_log):
    path, lines = big_log
    done = subprocess.run([sys.executable, "-c", RUN, path, *LIMITS], check=True, capture_output=True, text=True)
    peak, requests, keys, broken = json.loads(done.stdout)
    print(f"{path.stat().st_size / 1e6:,.0f} MB, {requests:,} requests, {keys:,} keys: {peak:,.0f} MB at most")
    assert (requests, broken) == (lines, 0)
    assert keys > 10_000
    assert peak <= 200
