"""Addresses are parsed once for all that counts by them, and what a client sends instead of one takes no memory."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import pytest

from engine.identity.addresses import LONGEST_ADDRESS, parse_address
from engine.identity.networks import network_of
from server.http import client_address


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are parsed."""
    texts: list[str] = []
    parse: Callable[[str], object] = ipaddress.ip_address

    def noted(text: str) -> object:
        texts.append(text)
        return parse(text)

    monkeypatch.setattr(ipaddress, "ip_address", noted)
    return texts


def test_an_address_is_parsed_once(parsed: list[str]) -> None:
    for _ in range(3):
        assert network_of("198.51.100.77") == str(parse_address("198.51.100.77")) == "198.51.100.77"
        assert network_of("2001:db8:77::1%eth0") == "2001:db8:77::/64"
    assert parsed == ["198.51.100.77", "2001:db8:77::1"]


def test_a_text_that_cannot_be_an_address_is_not_parsed(parsed: list[str]) -> None:
    longest = "0000:0000:0000:0000:0000:ffff:198.151.100.177"
    assert len(longest) == LONGEST_ADDRESS
    assert network_of(longest) == str(parse_address(longest)) == "198.151.100.177"
    text = "1" * (LONGEST_ADDRESS + 1)
    assert network_of(text) is None
    assert parse_address(text) is None
    assert parsed == [longest]


def test_whether_an_address_is_a_proxys_is_decided_once(monkeypatch: pytest.MonkeyPatch) -> None:
    decided: list[str] = []

    def noted(text: str) -> object:
        decided.append(text)
        return parse_address(text)

    monkeypatch.setattr(client_address, "parse_address", noted)
    proxies = client_address.TrustedProxies(["10.0.0.0/8"])
    for _ in range(3):
        assert proxies.trusts("10.1.2.3")
        assert not proxies.trusts("203.0.113.5")
    assert decided == ["10.1.2.3", "203.0.113.5"]
