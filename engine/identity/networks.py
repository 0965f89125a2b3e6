"""Which addresses count as one client: an IPv4 address, or the 64 bits of an IPv6 network, of which a single host has all
addresses (RFC 6177 and RFC 7421: sites get a /64 at least).
"""

from __future__ import annotations

import ipaddress

__all__ = ["network_of"]

_PREFIX = 64


def network_of(address: str | None) -> str | None:
    """The network of an address, as text; None for the machine itself (loopback) and for what is no address.

    The server's own machine is not limited: it is a local proxy, whose clients are known only where it is trusted, or a
    program of the operator. An IPv4 address in IPv6 form (``::ffff:192.0.2.1``) is that IPv4 address.
    """
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            network = ipaddress.IPv6Network((int(parsed) >> _PREFIX << _PREFIX, _PREFIX))
            return None if parsed.is_loopback else str(network)
        parsed = parsed.ipv4_mapped
    return None if parsed.is_loopback else str(parsed)
