"""Addresses that only programs of the same machine reach."""

from __future__ import annotations

from engine.identity.addresses import parse_address

__all__ = ["is_loopback"]


def is_loopback(address: str) -> bool:
    """Whether the IP address ``address`` is one. A name is none: it may stand for any address."""
    found = parse_address(address)
    return found is not None and found.is_loopback
