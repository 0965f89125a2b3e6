"""Which addresses are admitted: lists of addresses and CIDR blocks that are allowed or denied."""

from __future__ import annotations

from collections.abc import Iterable

from engine.identity.addresses import parse_address, parse_networks

__all__ = ["AddressLists"]


class AddressLists:
    """An address is admitted if no network of ``denied`` has it, and if one of ``allowed`` has it or that list is empty.

    An IPv4 address in IPv6 form is the IPv4 address. What is no address (a Unix socket's peer has none) is admitted only
    where there are no lists. ``refused``: how many were not admitted. Raises ``ValueError`` for what is no network.
    """

    def __init__(self, allowed: Iterable[str] = (), denied: Iterable[str] = ()) -> None:
        self._allowed = parse_networks(allowed)
        self._denied = parse_networks(denied)
        self.refused = 0

    def admit(self, client: str | None) -> bool:
        """Whether a client may come from this address; counts it if not."""
        if self._admits(client):
            return True
        self.refused += 1
        return False

    def _admits(self, client: str | None) -> bool:
        if not self._allowed and not self._denied:
            return True
        address = None if client is None else parse_address(client)
        if address is None or any(address in network for network in self._denied):
            return False
        return not self._allowed or any(address in network for network in self._allowed)
