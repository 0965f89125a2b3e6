"""Addresses and networks as texts."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

__all__ = ["Address", "Network", "parse_address", "parse_networks"]

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
    """Addresses and CIDR blocks. Raises ``ValueError`` for what is neither."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)
