"""Fixtures of the attack tests: backends that record, and proxies before gateways."""

import pytest
from fronts import Proxy, Recorder


@pytest.fixture
def recorder():
    """A backend that keeps what it saw."""
    recorder = Recorder()
    yield recorder
    recorder.stop()


@pytest.fixture
def recorders():
    """Starts several such backends."""
    started = []

    def start():
        started.append(Recorder())
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="session")
def proxy_before(tmp_path_factory):
    """Starts nginx or HAProxy before a gateway, once for each port and kind."""
    started = {}

    def start(kind, gateway, **options):
        label = kind, gateway, *sorted(options.items())
        if label not in started:
            started[label] = Proxy(kind, tmp_path_factory.mktemp(kind), gateway, **options)
        return started[label].port

    yield start
    for proxy in started.values():
        proxy.stop()
