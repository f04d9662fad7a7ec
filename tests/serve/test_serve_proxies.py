"""Real proxies with the configurations of the documentation, in front of an application."""

import http.client

import pytest
from ports import free_port, until_open
from servers import PACKAGE

EXAMPLES = PACKAGE / "examples" / "serve"
LIMITS = "limits: {api: 5/day}"
pytestmark = pytest.mark.slow  # programs start


@pytest.mark.parametrize("file", ["nginx.conf", "haproxy.cfg", "Caddyfile", "envoy-http.yaml"])
def test_exactly_the_limit_passes_each_proxy(service, proxy, file):
    limits = service(LIMITS)
    server = proxy(file, port_9090=limits.port)
    # Clients cannot choose the address that is limited.
    answers = [server.get("/shop?x=1", {"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(8)]
    assert [status for status, _ in answers] == [200] * 5 + [429] * 3
    fields = answers[-1][1]
    assert 1 <= int(fields["retry-after"]) <= 17_280
    assert fields["ratelimit"].startswith('"5/day";r=0;t=')
    assert ("allowed", 5) in results(limits)
    assert ("refused", 3) in results(limits)


def test_envoy_asks_by_descriptors(service, proxy):
    port = free_port()
    # The test must not see the end of a window.
    descriptors = (EXAMPLES / "descriptors.yaml").read_text().replace("unit: minute", "unit: year")
    limits = service(descriptors, "--workers", "2", grpc=port)
    until_open(port)
    server = proxy("envoy-grpc.yaml", port_9091=port)
    answers = [server.get("/shop", {"x-user": "ann"}) for _ in range(8)]
    assert [status for status, _ in answers] == [200] * 5 + [429] * 3
    fields = answers[-1][1]
    assert fields["ratelimit"].startswith('"5/365d";r=0;t=')
    assert fields["x-envoy-ratelimited"] == "true"
    assert int(fields["retry-after"]) >= 1
    assert limits.get("/metrics")[0] == 200


def results(server):
    """Return the results of the limit `api` and their numbers, by the metrics."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    lines = [line for line in text.splitlines() if line.startswith("ratelimit_serve_limit_requests_total{")]
    return [(line.split('result="')[1].split('"')[0], int(line.rpartition(" ")[2])) for line in lines]
