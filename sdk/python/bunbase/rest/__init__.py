"""For servers: publish, look and manage by the REST API, synchronously or with asyncio."""

from bunbase.protocol.model import History
from bunbase.rest.aio import AsyncRealtimeServer, AsyncServerChannel
from bunbase.rest.resources import Connection, Room
from bunbase.rest.sync import RealtimeServer, ServerChannel

__all__ = [
    "AsyncRealtimeServer",
    "AsyncServerChannel",
    "Connection",
    "History",
    "RealtimeServer",
    "Room",
    "ServerChannel",
]
