"""Envoy's rate limit service with a real client of gRPC."""

import socket

import grpc
import pytest
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc
from google.protobuf.wrappers_pb2 import UInt64Value
from ports import free_port, until_open
from servers import PACKAGE
from valkey_servers import Server, valkey_server
from waiting import PATIENCE

pytestmark = pytest.mark.slow  # processes start
RULES = (
    (PACKAGE / "examples" / "serve" / "descriptors.yaml").read_text().replace("unit: minute", "unit: year")
)  # no window ends meanwhile
OK, OVER = rls_pb2.RateLimitResponse.OK, rls_pb2.RateLimitResponse.OVER_LIMIT


@pytest.fixture
def ask(service):
    """Return a function that asks two workers about descriptors, over a new connection for each question."""
    port = free_port()
    ask_server = service(RULES, "--workers", "2", grpc=port)
    until_open(port)

    def ask(*descriptors, domain="web", hits_addend=0):
        request = rls_pb2.RateLimitRequest(domain=domain, hits_addend=hits_addend)
        for entries in descriptors:
            added = request.descriptors.add()
            if "cost" in entries:
                added.hits_addend.CopyFrom(UInt64Value(value=entries.pop("cost")))
            for key, value in entries.items():
                added.entries.add(key=key, value=value)
        with channel() as found:
            return rls_pb2_grpc.RateLimitServiceStub(found).ShouldRateLimit(
                request, wait_for_ready=True, timeout=PATIENCE
            )

    def channel():
        return grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)])

    ask.channel, ask.port, ask.server = channel, port, ask_server
    return ask


def test_both_workers_answer_by_one_limit(ask):
    answers = [ask({"remote_address": "203.0.113.1"}, {"other": "x"}) for _ in range(12)]
    assert [answer.overall_code for answer in answers] == [OK] * 5 + [OVER] * 7  # over both workers
    limited, other = answers[0].statuses
    assert (limited.code, limited.limit_remaining, limited.current_limit.requests_per_unit) == (OK, 4, 5)
    assert limited.current_limit.unit == rls_pb2.RateLimitResponse.RateLimit.YEAR
    assert 0 < limited.duration_until_reset.seconds + limited.duration_until_reset.nanos / 1e9 <= 365 * 86_400
    assert (other.code, other.HasField("current_limit")) == (OK, False)
    assert [status.code for status in answers[-1].statuses] == [OVER, OK]
    headers = {header.key: header.value for header in answers[-1].response_headers_to_add}
    assert headers["ratelimit-policy"] == '"5/365d";q=5;w=31536000'
    assert "retry-after" in headers
    assert ask({"remote_address": "203.0.113.2", "cost": 6}).overall_code == OVER
    assert ask({"remote_address": "203.0.113.2", "cost": 5}, hits_addend=9).overall_code == OK
    assert ask({"remote_address": "203.0.113.2", "cost": 0}).overall_code == OVER

    with pytest.raises(grpc.RpcError) as raised:
        ask(domain="web")
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "descriptors: expected one or more" in raised.value.details()
    with pytest.raises(grpc.RpcError) as raised:
        ask({"remote_address": "x" * 100_000})
    assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    with ask.channel() as channel:
        method = channel.unary_unary("/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit")
        with pytest.raises(grpc.RpcError):
            method(b"\xff" * 1_000, timeout=PATIENCE)
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=PATIENCE) == b"\x08\x01"
    for rubbish in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100):
        with socket.create_connection(("127.0.0.1", ask.port)) as client:
            client.sendall(rubbish)
            client.settimeout(30)
            while client.recv(4096):  # until it is closed
                pass
    assert ask({"remote_address": "203.0.113.3"}).overall_code == OK


def test_an_engine_that_is_held_up_delays_no_other_request(service):
    """Many requests wait for the engine. One that matches no limit, and the look at the health, do not."""
    engine, port = Server(valkey_server()), free_port()
    try:
        service(f"tables: {engine.url}?name=rls&timeout={2 * PATIENCE}\n{RULES}", grpc=port)
        until_open(port)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = rls_pb2_grpc.RateLimitServiceStub(channel)
            engine.hold()
            waiting = [stub.ShouldRateLimit.future(request_of("remote_address"), timeout=PATIENCE) for _ in range(20)]
            assert stub.ShouldRateLimit(request_of("other"), timeout=PATIENCE).overall_code == OK
            assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=PATIENCE) == b"\x08\x01"
            assert not any(one.done() for one in waiting)
            engine.go_on()
            assert [one.result().overall_code for one in waiting].count(OK) == 5
    finally:
        engine.kill()


def request_of(key):
    request = rls_pb2.RateLimitRequest(domain="web")
    request.descriptors.add().entries.add(key=key, value="x")
    return request
