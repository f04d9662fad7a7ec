"""The address of a client: what it is behind proxies, and what a client can write into X-Forwarded-For."""

import pytest

from ratelimit._configuration.addresses import LONGEST, _key, _parsed
from ratelimit.contrib._addresses import ClientAddress

PROXIES = ["10.0.0.0/8", "2001:db8:ff::/48"]


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "unknown"),
        ("", "unknown"),
        ("testclient", "unknown"),
        ("x" * 100_000, "unknown"),
    ],
)
def test_peer_becomes_its_canonical_key(peer, key):
    assert ClientAddress()(peer) == key


def test_ignores_the_field_of_a_peer_that_is_not_trusted():
    assert ClientAddress()("192.0.2.1", ["198.51.100.7"]) == "192.0.2.1"
    assert ClientAddress(PROXIES)("192.0.2.1", ["198.51.100.7"]) == "192.0.2.1"
    assert ClientAddress(PROXIES)(None, ["198.51.100.7"]) == "unknown"


@pytest.mark.parametrize(
    ("forwarded", "key"),
    [
        ([], "10.0.0.1"),
        (["198.51.100.7"], "198.51.100.7"),
        (["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
        (["6.6.6.6, 198.51.100.7, 10.1.2.3"], "198.51.100.7"),
        (["6.6.6.6", "198.51.100.7 ,10.1.2.3", "2001:db8:ff::1"], "198.51.100.7"),
        (["10.5.5.5, 10.1.2.3"], "10.5.5.5"),
        (["198.51.100.7:4711"], "198.51.100.7"),
        (["[2001:db8:1:2::9]:4711, 10.1.2.3"], "2001:db8:1:2::/64"),
        (["6.6.6.6, no address"], "unknown"),
        (["198.51.100.7,", " , "], "198.51.100.7"),
        (["[::ffff:198.51.100.7]:80"], "198.51.100.7"),
        (["2001:db8:1:2::9%any text"], "2001:db8:1:2::/64"),
        (["[2001:db8::1"], "unknown"),
        (["[198.51.100.7]"], "unknown"),
        (["198.51.100.7:http"], "unknown"),
        (["[2001:db8::1]x"], "unknown"),
        (["6.6.6.6, unix:"], "unknown"),
        (["6.6.6.6, " + "9" * 100_000], "unknown"),
    ],
)
def test_takes_the_rightmost_address_that_no_trusted_proxy_wrote(forwarded, key):
    assert ClientAddress(PROXIES)("10.0.0.1", forwarded) == key


def test_trusts_a_unix_socket_if_asked_to():
    assert ClientAddress(["unix"])(None, ["198.51.100.7"]) == "198.51.100.7"
    assert ClientAddress(["unix"])("192.0.2.1", ["198.51.100.7"]) == "192.0.2.1"


def test_keeps_a_bounded_number_of_short_texts():
    client_address = ClientAddress(PROXIES)
    for number in range(30_000):
        client_address("10.0.0.1", [f"2001:db8:{number % 65536:x}::{number:x}", "7" * (LONGEST + 1)])
        client_address("10.0.0.1", [f"host-{number}"])
    assert _key.cache_info().currsize <= 10_000
    assert _parsed.cache_info().currsize <= 10_000


@pytest.mark.parametrize("networks", ["10.0.0.0/8", b"10.0.0.0/8"])
def test_rejects_a_text_for_a_list(networks):
    with pytest.raises(TypeError, match="trusted_proxies: expected a list"):
        ClientAddress(networks)


@pytest.mark.parametrize("networks", [["example.com"], ["10.0.0.1/8"], [""]])
def test_rejects_other_texts_than_networks(networks):
    with pytest.raises(ValueError, match="trusted_proxies: expected addresses or networks"):
        ClientAddress(networks)
