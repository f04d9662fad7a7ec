"""The adapters under pytest-benchmark, each beside what it limits or replaces. adapters.py prints the ratios."""

import adapters
import pytest


@pytest.mark.parametrize("group", adapters.GROUPS)
def test_adapters(group, benchmark):
    runs = adapters.GROUPS[group]()
    benchmark.pedantic(lambda: [run(10) for run in runs.values()], rounds=5)
