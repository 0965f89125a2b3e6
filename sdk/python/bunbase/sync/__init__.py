"""The client for synchronous code: the asyncio client, in a thread with an event loop of its own."""

from bunbase.sync.iterator import SyncIterator
from bunbase.sync.pages import SyncPages
from bunbase.sync.query import SyncDatabase, SyncQuery
from bunbase.sync.realtime import SyncRealtime
from bunbase.sync.typed_channel import SyncChannel

__all__ = ["SyncChannel", "SyncDatabase", "SyncIterator", "SyncPages", "SyncQuery", "SyncRealtime"]
