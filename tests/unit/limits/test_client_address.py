"""The client's address behind proxies: what a client could have written itself is not believed."""

from __future__ import annotations

import pytest

from server.http.client_address import TrustedProxies

PROXIES = TrustedProxies(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("peer", "header", "client"),
    [
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),  # no proxy of ours
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["127.0.0.1, 198.51.100.1"], "198.51.100.1"),  # the left part is the client's own
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1, 192.0.2.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("::ffff:10.0.0.1", ["[2001:db9::7]:443"], "2001:db9::7"),
        ("2001:db8::1%eth0", ["2001:db9::7"], "2001:db9::7"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", [","], "10.0.0.1"),
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        (None, ["198.51.100.1"], None),
    ],
)
def test_the_client_is_the_last_address_that_is_not_a_trusted_proxys(
    peer: str | None, header: list[str], client: str | None
) -> None:
    assert PROXIES.client_of(peer, header) == client


def test_without_trusted_proxies_the_header_is_not_read() -> None:
    assert TrustedProxies().client_of("10.0.0.1", ["198.51.100.1"]) == "10.0.0.1"


def test_a_proxy_named_by_its_ipv4_address_in_ipv6_form_is_trusted() -> None:
    proxies = TrustedProxies(["::ffff:10.0.0.0/104"])
    assert proxies.client_of("10.0.0.1", ["198.51.100.1"]) == "198.51.100.1"
    assert proxies.client_of("::ffff:10.0.0.1", ["198.51.100.1"]) == "198.51.100.1"


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        TrustedProxies(["nonsense"])
