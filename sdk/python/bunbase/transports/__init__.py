"""The three ways to a server, behind one protocol: WebSocket, server-sent events with POST, long polling."""

from __future__ import annotations

from bunbase.transports.base import Address, Transport, given_or_set
from bunbase.transports.polling import PollingTransport
from bunbase.transports.sse import SseTransport
from bunbase.transports.websocket import WebSocketTransport

__all__ = ["TRANSPORTS", "Address", "Transport", "given_or_set"]

TRANSPORTS: dict[str, type[Transport]] = {
    "websocket": WebSocketTransport,
    "sse": SseTransport,
    "polling": PollingTransport,
}
