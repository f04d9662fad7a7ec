"""The demonstration of `make demo`: the FastAPI program of the documentation, on uvicorn with four workers."""

import subprocess
import sys

import pytest
from servers import EXAMPLES
from waiting import PATIENCE


@pytest.mark.slow
def test_the_demo_shows_two_limits_over_four_workers():
    assert len((EXAMPLES / "fastapi_app.py").read_text().splitlines()) <= 20
    command = [sys.executable, EXAMPLES / "demo.py"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
    assert "GET /search, 300 times over 4 worker processes: 20 x 200, 280 x 429" in shown
    assert "GET /docs, 300 times over 4 worker processes: 100 x 200, 200 x 429" in shown
    assert 'ratelimit-policy: "20/day";q=20;w=86400' in shown
