"""The address of the client behind proxies. One function for everything that judges clients by their address.

A proxy appends the address of its own client to ``X-Forwarded-For``. What stands left of that was sent by the client and can
be anything, so the header is read from the right, for as long as the sender is a trusted proxy. No other header is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from engine.identity.addresses import Address, parse_address, parse_networks

__all__ = ["TrustedProxies"]

_MAX_KNOWN: Final = 4096  # addresses of sockets, and of headers after they were parsed: short texts


class TrustedProxies:
    """``networks``: addresses and CIDR blocks of the proxies whose ``X-Forwarded-For`` is believed.

    Raises ``ValueError`` for what is neither.
    """

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = parse_networks(networks)
        self._known = lru_cache(maxsize=_MAX_KNOWN)(self._is_proxy)

    def client_of(self, peer: str | None, forwarded_for: Sequence[str]) -> str | None:
        """The client's address. ``peer``: the other end of the socket; ``forwarded_for``: the header, one text a line.

        An entry that is no address ends the search: the proxy that vouched for it counts as the client.
        """
        peer = None if peer is None else peer.partition("%")[0]  # %: an IPv6 zone
        if not self._networks or peer is None:
            return peer
        client = peer
        hops = [hop for line in forwarded_for for hop in line.split(",")]
        while hops and self.trusts(client):
            hop = _address(hops.pop())
            if hop is None:
                break
            client = str(hop)
        return client

    def trusts(self, text: str) -> bool:
        """Whether an address is a proxy's. One connection asks several times, so the latest answers are remembered."""
        return self._known(text)

    def _is_proxy(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)


def _address(text: str) -> Address | None:
    """An address, without the port and brackets that some proxies add; IPv4 in IPv6 form as IPv4."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    return parse_address(text)
