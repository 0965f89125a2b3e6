"""Addresses and networks as texts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

__all__ = ["LONGEST_ADDRESS", "Address", "Network", "parse_address", "parse_networks"]

LONGEST_ADDRESS: Final = 45  # characters of an address: six groups of four digits, and an IPv4 address in full
_MAPPED: Final = 96  # bits before an IPv4 address in IPv6 form, ::ffff:0:0/96

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> Address | None:
    """An address without its IPv6 zone, an IPv4 address in IPv6 form as IPv4; None for what is no address.

    One connection has its address parsed several times, so the latest are remembered. Texts that clients send may be long:
    those that cannot be addresses are not.
    """
    text = text.partition("%")[0]
    return _parsed(text) if len(text) <= LONGEST_ADDRESS else None


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and CIDR blocks, those of IPv4 in IPv6 form as IPv4. Raises ``ValueError`` for what is neither."""
    return tuple(_unmapped(ipaddress.ip_network(text, strict=False)) for text in texts)


def _unmapped(network: Network) -> Network:
    """The network in the form in which ``parse_address`` gives the addresses in it (RFC 4291, 2.5.5.2)."""
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED:
        first = network.network_address.ipv4_mapped
        if first is not None:
            return ipaddress.IPv4Network((int(first), network.prefixlen - _MAPPED))
    return network
