"""Client of Bunbase Realtime: channels, presence and live queries.

``Realtime`` is the asyncio client, ``SyncRealtime`` the same for code without asyncio. ``RealtimeServer`` and
``AsyncRealtimeServer`` are for servers: they publish, look and manage by the REST API.
"""

import warnings
from typing import TYPE_CHECKING

from bunbase.client.live_query import QuerySubscription, Snapshots
from bunbase.client.messages import Messages
from bunbase.client.pages import Pages
from bunbase.client.query import Database, Query
from bunbase.client.realtime import Realtime
from bunbase.client.typed_channel import Channel
from bunbase.core.status import ConnectionState, ConnectionStatus
from bunbase.protocol.codes import CloseCode, ErrorCode
from bunbase.protocol.crypto import Encryption
from bunbase.protocol.errors import BunbaseError, RealtimeError
from bunbase.protocol.model import Ack, Change, Count, Doc, HistoryPage, Message, Presence, Snapshot, User
from bunbase.rest import (
    AsyncRealtimeServer,
    AsyncServerChannel,
    ConnectionInfo,
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
    "ConnectionInfo",
    "ConnectionState",
    "ConnectionStatus",
    "Count",
    "Database",
    "Doc",
    "Encryption",
    "ErrorCode",
    "HistoryPage",
    "Message",
    "Messages",
    "Pages",
    "Presence",
    "Query",
    "QuerySubscription",
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

_WITHDRAWN = {"Connection": "ConnectionInfo", "History": "HistoryPage", "LiveQuery": "QuerySubscription"}
"""Former names, and those that they have now."""

if not TYPE_CHECKING:  # for type checkers they are gone

    def __getattr__(name: str) -> object:
        if name not in _WITHDRAWN:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        text = f"bunbase.{name} is withdrawn: use bunbase.{_WITHDRAWN[name]}, its name in both SDKs"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return globals()[_WITHDRAWN[name]]
