"""Content-based routing: messages that match also go to another channel. Rows of ``realtime.routes``, evaluated as
the stream passes.

A route's ``match`` is a builder ``where`` over ``{"event", "sender", "data"}``. What a route brings is a message of its
own in the other channel, written by the node that records where the first one committed, in the same transaction: exactly
once. A message is routed once: what arrives by a route is not routed again, so routes cannot run in circles.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from engine.channels.core.delivery.events import MessageEvent
from engine.channels.core.filters.filter import Test, compile_filter, read_json
from engine.channels.core.messages.decode import MessageRow
from engine.errors import InvalidQueryError

__all__ = ["Route", "Routes", "matches_pattern"]

_log = structlog.get_logger(__name__)


def matches_pattern(pattern: str, channel: str) -> bool:
    """``orders:*`` is every channel that begins with ``orders:``; without ``*`` at the end exactly that channel.

    The same as ``realtime.name_matches()``.
    """
    return channel.startswith(pattern[:-1]) if pattern.endswith("*") else channel == pattern


@dataclass(frozen=True, slots=True)
class Route:
    """One enabled route; ``test`` is None when everything matches."""

    from_channel: str
    to_channel: str
    test: Test | None

    def takes(self, row: MessageRow, event: MessageEvent) -> bool:
        """Whether the message goes along this route."""
        if row.channel == self.to_channel or not matches_pattern(self.from_channel, row.channel):
            return False
        return self.test is None or event.meets_whole(self.test)


class Routes:
    """All routes, by id."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}

    def __len__(self) -> int:
        return len(self._routes)

    def load(self, rows: Iterable[Mapping[str, str | None]]) -> None:
        """Start from the table's rows."""
        self._routes = {}
        for row in rows:
            self.put(row)

    def put(self, row: Mapping[str, str | None]) -> None:
        """A route was made or changed."""
        self.remove(row["id"])
        if row.get("enabled") != "t":
            return
        match = row.get("match")
        try:
            test = compile_filter(read_json(match.encode())) if match not in (None, "null", "[]") else None
        except Exception as problem:  # noqa: BLE001 - logged
            unexpected = None if isinstance(problem, InvalidQueryError) else problem
            why = str(problem)
            _log.warning("route_disabled", route=row["id"], error=why, exc_info=unexpected)
            return
        self._routes[row["id"] or ""] = Route(row.get("from_channel") or "*", row.get("to_channel") or "", test)

    def remove(self, identifier: str | None) -> None:
        """A route was deleted."""
        self._routes.pop(identifier or "", None)

    def clear(self) -> None:
        """The table was emptied."""
        self._routes.clear()

    def begin_at(self, channel: str) -> bool:
        """Whether a route takes messages of ``channel``."""
        return any(matches_pattern(route.from_channel, channel) for route in self._routes.values())

    def copies(self, rows: Iterable[MessageRow]) -> list[tuple[MessageRow, str]]:
        """The messages that also go to other channels, and to which, each once."""
        found: list[tuple[MessageRow, str]] = []
        for row in rows:
            if row.routed_from is None:
                event = MessageEvent(row)
                targets = {route.to_channel: None for route in self._routes.values() if _takes(route, row, event)}
                found += [(row, target) for target in targets]
        return found


def _takes(route: Route, row: MessageRow, event: MessageEvent) -> bool:
    try:
        return route.takes(row, event)
    except Exception as problem:  # noqa: BLE001 - logged
        _log.error("route_failed", to=route.to_channel, position=event.position, exc_info=problem)
        return False
