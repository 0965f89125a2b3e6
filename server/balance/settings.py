"""Settings of a node among others."""

from __future__ import annotations

import socket

from pydantic import Field
from pydantic_settings import BaseSettings

__all__ = ["BalanceSettings"]


class BalanceSettings(BaseSettings):
    """A part of :class:`server.app.settings.Settings`."""

    node_url: str | None = Field(
        None, max_length=1024, description="address of this node for GET /realtime/nodes; machine and port without it"
    )
    node_region: str | None = Field(
        None, max_length=255, description="where this node is; clients are moved between nodes of one region only"
    )
    balance_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="part of its clients that a node with more than the others asks to connect again, per minute; 0: none",
    )

    def url_of_node(self, port: int, *, tls: bool) -> str:
        """Of this process."""
        return self.node_url or f"{'https' if tls else 'http'}://{socket.gethostname()}:{port}"
