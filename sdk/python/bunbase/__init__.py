"""Client of Bunbase Realtime: channels, presence and live queries.

``Realtime`` is the asyncio client, ``SyncRealtime`` the same for code without asyncio. ``RealtimeServer`` and
``AsyncRealtimeServer`` are for servers: they publish, look and manage by the REST API.
"""

from bunbase.client.live_query import LiveQuery, Snapshots
from bunbase.client.messages import Messages
from bunbase.client.pages import Pages
from bunbase.client.query import Database, Query
from bunbase.client.realtime import Realtime
from bunbase.client.typed_channel import Channel
from bunbase.core.status import ConnectionState, ConnectionStatus
from bunbase.protocol.codes import CloseCode, ErrorCode
from bunbase.protocol.crypto import Encryption
from bunbase.protocol.errors import BunbaseError, RealtimeError
from bunbase.protocol.model import Ack, Change, Count, Doc, History, Message, Presence, Snapshot, User
from bunbase.rest import (
    AsyncRealtimeServer,
    AsyncServerChannel,
    Connection,
    RealtimeServer,
    Room,
    ServerChannel,
)
from bunbase.sync import SyncChannel, SyncDatabase, SyncIterator, SyncPages, SyncQuery, SyncRealtime

__all__ = [
    "Ack",
    "AsyncRealtimeServer",
    "AsyncServerChannel",
    "BunbaseError",
    "Change",
    "Channel",
    "CloseCode",
    "Connection",
    "ConnectionState",
    "ConnectionStatus",
    "Count",
    "Database",
    "Doc",
    "Encryption",
    "ErrorCode",
    "History",
    "LiveQuery",
    "Message",
    "Messages",
    "Pages",
    "Presence",
    "Query",
    "Realtime",
    "RealtimeError",
    "RealtimeServer",
    "Room",
    "ServerChannel",
    "Snapshot",
    "Snapshots",
    "SyncChannel",
    "SyncDatabase",
    "SyncIterator",
    "SyncPages",
    "SyncQuery",
    "SyncRealtime",
    "User",
]
