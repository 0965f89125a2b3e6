"""For servers: publish, look and manage by the REST API, synchronously or with asyncio."""

from bunbase.protocol.model import HistoryPage
from bunbase.rest.aio import AsyncRealtimeServer, AsyncServerChannel
from bunbase.rest.resources import ConnectionInfo, Room
from bunbase.rest.sync import RealtimeServer, ServerChannel

__all__ = [
    "AsyncRealtimeServer",
    "AsyncServerChannel",
    "ConnectionInfo",
    "HistoryPage",
    "RealtimeServer",
    "Room",
    "ServerChannel",
]
