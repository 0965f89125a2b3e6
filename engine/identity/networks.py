"""Which addresses count as one client: an IPv4 address, or the 64 bits of an IPv6 network, of which a single host has all
addresses (RFC 6177 and RFC 7421: sites get a /64 at least).
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network

from engine.identity.addresses import LONGEST_ADDRESS, parse_address

__all__ = ["network_of"]

_PREFIX = 64


def network_of(address: str | None) -> str | None:
    """The network of an address, as text; None for the machine itself (loopback) and for what is no address.

    The server's own machine is not limited: it is a local proxy, whose clients are known only where it is trusted, or a
    program of the operator. An IPv4 address in IPv6 form (``::ffff:192.0.2.1``) is that IPv4 address.
    """
    if address is None:
        return None
    text = address.partition("%")[0] if "%" in address else address
    return _network(text) if len(text) <= LONGEST_ADDRESS else None


@lru_cache(maxsize=4096)
def _network(text: str) -> str | None:
    address = parse_address(text)
    if address is None or address.is_loopback:
        return None
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address) >> _PREFIX << _PREFIX, _PREFIX)))
    return str(address)
