"""Addresses and networks as texts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

__all__ = ["Address", "Network", "parse_address", "parse_networks"]

_MAPPED: Final = 96  # bits before an IPv4 address in IPv6 form, ::ffff:0:0/96

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> Address | None:
    """An address without its IPv6 zone, an IPv4 address in IPv6 form as IPv4; None for what is no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
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
