"""The interface of a channel or a live query to the subscription manager."""

from __future__ import annotations

from typing import Any, Protocol

from bunbase.protocol.errors import RealtimeError

__all__ = ["Raw", "Subscription"]

Raw = dict[str, Any]
"""A message of the protocol."""


class Subscription(Protocol):
    """A channel or a live query, as the subscription manager sees it."""

    @property
    def key(self) -> str:
        """Its id on a connection."""

    def request(self) -> Raw:
        """The ``subscribe`` message, as things are now."""

    def unsubscribe_request(self) -> Raw:
        """The ``unsubscribe`` message."""

    def base(self) -> object:
        """The state that the request refers to; passed back to ``subscribed``."""

    def subscribed(self, message: Raw, base: object, *, seamless: bool) -> None:
        """A connection has begun to serve it."""

    def received(self, message: Raw, *, quiet: bool) -> None:
        """A message came for it."""

    def catch_up(self, *, force: bool) -> bool:
        """After quiet messages: show the outcome. False: the connection is still behind."""

    def ended(self, error: RealtimeError, *, quiet: bool = False) -> None:
        """It was refused, or has ended. ``quiet``: by a disconnect of the application, before it was served."""

    @property
    def begun(self) -> bool:
        """Whether it was served before; then a passing problem does not end it."""
