"""Client of Bunbase Realtime: channels, presence and live queries.

``Realtime`` is the asyncio client. ``RealtimeServer`` and ``AsyncRealtimeServer`` are for servers: they publish, look
and manage by the REST API.
"""

from bunbase.channel import Channel
from bunbase.codes import CloseCode, ErrorCode
from bunbase.crypto import Encryption
from bunbase.errors import RealtimeError
from bunbase.live import LiveQuery, Snapshots
from bunbase.messages import Messages
from bunbase.model import Ack, Change, Doc, Message, Presence, Snapshot, User
from bunbase.query import Database, Query
from bunbase.realtime import Realtime
from bunbase.rest import (
    AsyncRealtimeServer,
    AsyncServerChannel,
    Connection,
    History,
    RealtimeServer,
    Room,
    ServerChannel,
)

__all__ = [
    "Ack",
    "AsyncRealtimeServer",
    "AsyncServerChannel",
    "Change",
    "Channel",
    "CloseCode",
    "Connection",
    "Database",
    "Doc",
    "Encryption",
    "ErrorCode",
    "History",
    "LiveQuery",
    "Message",
    "Messages",
    "Presence",
    "Query",
    "Realtime",
    "RealtimeError",
    "RealtimeServer",
    "Room",
    "ServerChannel",
    "Snapshot",
    "Snapshots",
    "User",
]
