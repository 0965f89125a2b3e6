"""Writes the figures of a node: what has changed, every two seconds, and the row of the node at least once a minute.

The tables are unlogged, so nothing of this reaches the WAL and the slots. Figures that cannot be written now are written
later: they are of no use to the node itself.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol, TypeVar

import psycopg
import structlog

from engine.background import BackgroundService
from engine.channels.service import Channels
from engine.errors import RealtimeError
from engine.live.core.shared_query import LiveQuery
from engine.live.service import LiveQueries
from engine.lsn import Lsn, format_lsn
from engine.metrics.registry import Registry
from engine.tasks import every, in_turns
from server.statistics.figures import NodeFigures, QueryFigures, busiest_channels, busiest_queries
from server.statistics.latencies import RecentLatencies

__all__ = ["Source", "StatisticsWriter", "statistics_of"]

_INTERVAL: Final = 2.0
_AT_LEAST: Final = 60.0  # seconds: after the table was emptied it is filled again
_PASSING: Final = (RealtimeError, psycopg.Error, OSError)
_QUERY_COLUMNS: Final = tuple(QueryFigures.__dataclass_fields__)

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class Write(Protocol):
    """Runs a named query of the node's own books: :meth:`engine.channels.db.store.Store.keep`."""

    def __call__(self, name: str, **parameters: object) -> Awaitable[list[dict[str, Any]]]:
        """The rows of the query ``name``."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """Where the figures of a node come from. ``channels``: each with its number of subscribers."""

    node: Callable[[], NodeFigures]
    position: Callable[[], Lsn]
    channels: Callable[[], Iterable[tuple[str, int]]]
    queries: Callable[[], Iterable[LiveQuery]]


class StatisticsWriter(BackgroundService):
    """See the module. ``write`` reaches the database of the node called ``node_id``."""

    def __init__(self, node_id: str, source: Source, write: Write) -> None:
        super().__init__("statistics")
        self._node = node_id
        self._source = source
        self._write = write
        self._written_at = 0.0
        self._ascii = False  # the encoding of the database lacks characters that names of channels have
        self._figures: NodeFigures | None = None  # what is written, as the next two
        self._channels: dict[str, int] = {}
        self._queries: dict[str, QueryFigures] = {}

    def start(self) -> None:
        """Begin to write."""
        self._background.spawn(every(_INTERVAL, self.write, self._failed, _PASSING))

    async def stop(self) -> None:
        """Stop writing."""
        await self._background.stop()

    async def write(self) -> None:
        """Write what has changed. Raises ``RealtimeError`` or ``psycopg.Error``."""
        figures, now = self._source.node(), time.monotonic()
        if self._figures is None:
            await self._write("statistics_remove", node=self._node)
        if figures != self._figures or now - self._written_at > _AT_LEAST:
            position = format_lsn(self._source.position())
            rows = await self._write("statistics_node", node=self._node, position=position, **asdict(figures))
            if not rows or rows[0]["made"]:
                self._forget()
            if not rows:
                return  # the node is not registered now
            self._figures, self._written_at = figures, now
        await self._write_channels()
        await self._write_queries()

    async def _write_channels(self) -> None:
        found = self._source.channels()
        channels = busiest_channels((each for each in found if each[0].isascii()) if self._ascii else found)
        changed, lost = _difference(self._channels, channels)
        if changed or lost:
            await self._write(
                "statistics_channels",
                node=self._node,
                lost=lost,
                channels=list(changed),
                subscribers=list(changed.values()),
            )
        self._channels = channels

    async def _write_queries(self) -> None:
        queries, _ = await in_turns(busiest_queries(self._source.queries(), self._queries))
        changed, lost = _difference(self._queries, queries)
        if changed or lost:
            columns = {name: [getattr(each, name) for each in changed.values()] for name in _QUERY_COLUMNS}
            await self._write("statistics_queries", node=self._node, lost=lost, **columns)
        self._queries = queries

    def _forget(self) -> None:
        """Nothing is written."""
        self._figures, self._channels, self._queries = None, {}, {}

    def _failed(self, error: Exception) -> None:
        self._ascii = self._ascii or isinstance(error, psycopg.errors.UntranslatableCharacter)
        self._forget()
        _log.info("statistics_not_written", error=" ".join(str(error).split()))


def statistics_of(
    node_id: str, status: Callable[[], Mapping[str, Any]], registry: Registry, live: LiveQueries, channels: Channels
) -> StatisticsWriter:
    """The writer of a server. ``status``: the body of its ``/health``."""
    latencies = RecentLatencies(registry)

    def figures() -> NodeFigures:
        now, of_live, of_channels = status(), live.status(), channels.status()
        return NodeFigures(
            version=now["version"],
            state=now["status"],
            reason="; ".join(filter(None, (now["feed"]["reason"], *now["problems"]))) or None,
            channels=of_channels["channels"],
            subscriptions=of_channels["subscriptions"],
            queries=of_live["queries"],
            query_subscriptions=of_live["subscriptions"],
            messages=of_channels["messages"],
            reads=of_live["reads"],
            stages=latencies.text(time.monotonic()),
        )

    source = Source(figures, lambda: live.position, channels.core.hub.sizes, lambda: live.queries)
    return StatisticsWriter(node_id, source, channels.store.keep)


def _difference(before: Mapping[str, T], now: Mapping[str, T]) -> tuple[dict[str, T], list[str]]:
    """What is new or different now, and the keys of what has ended."""
    return {key: value for key, value in now.items() if before.get(key) != value}, list(before.keys() - now.keys())
