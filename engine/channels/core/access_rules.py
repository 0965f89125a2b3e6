"""Rules of channels, as of the stream: which row of ``realtime.rules`` decides about an action on a channel. No I/O.

Several rows can match a channel. Of those that mention the action the most specific one decides, as in
``realtime.rule_for()``: the row of the channel's own name; then the one with the longest text before its first ``*``; then
the one with the most characters that are no ``*``; then the smaller pattern in the order of code points. Of
:data:`ALERTS_CHANNEL` only the row of that name counts, and only for subscribing: what clients published there would look
like an alert of the database.

Conditions are texts or booleans here; the server evaluates them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from engine.channels.core.messages.decode import RowChange
from engine.channels.core.watched_rows import take_over

__all__ = ["ALERTS_CHANNEL", "AccessRule", "AccessRules", "matches_wildcards", "matching"]

ACTIONS: Final = ("subscribe", "publish", "presence")
_MAX_FOUND: Final = 10_000

ALERTS_CHANNEL: Final = "admin:alerts"
"""Where alerts are broadcast (``realtime.broadcast_alert``)."""

Condition = bool | str


@dataclass(frozen=True, slots=True)
class AccessRule:
    """The condition of one row for one action. ``pattern``: the row's channel or pattern."""

    pattern: str
    action: str
    condition: Condition


def matches_wildcards(pattern: str, channel: str) -> bool:
    """Whether ``channel`` matches: each ``*`` stands for any text, all else for itself. In linear time.

    The same as ``realtime.rule_matches()``.
    """
    if pattern == channel:
        return True
    first, *others = pattern.split("*")
    if not others or not channel.startswith(first):
        return False
    *middle, last = others
    place = len(first)
    for part in middle:
        found = channel.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return len(channel) - len(last) >= place and channel.endswith(last)


def matching(patterns: Collection[str], channels: Iterable[str]) -> list[str]:
    """Those of ``channels`` that one of the names or patterns concerns."""
    wild = [pattern for pattern in patterns if "*" in pattern]
    return [
        channel
        for channel in channels
        if channel in patterns or any(matches_wildcards(pattern, channel) for pattern in wild)
    ]


class AccessRules:
    """The rows by channel or pattern."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, AccessRule]] = {}
        self._patterns: list[str] = []  # those with wildcards, the most specific first
        self._listeners: list[Callable[[str | None], None]] = []
        self._found: dict[tuple[str, str], AccessRule | None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def patterns(self) -> list[str]:
        """The channels and patterns that have a row."""
        return list(self._rows)

    def of(self, pattern: str) -> list[AccessRule]:
        """The rules of one row."""
        return list(self._rows.get(pattern, {}).values())

    def on_change(self, call: Callable[[str | None], None]) -> None:
        """Call ``call`` with the channel or pattern of each row that changes, and with None when all may have."""
        self._listeners.append(call)

    def load(self, rows: Iterable[Mapping[str, str | None]]) -> None:
        """Start from the table's rows."""
        self._rows = {row["channel"] or "": _rules_of(row) for row in rows}
        self._changed((None,))

    def find(self, channel: str, action: str) -> AccessRule | None:
        """The rule that decides about ``action``; None: no row does."""
        key = (channel, action)
        if key not in self._found:
            if len(self._found) >= _MAX_FOUND:
                self._found.clear()
            self._found[key] = self._search(channel, action)
        return self._found[key]

    def apply(self, change: RowChange) -> set[str]:
        """A row changed. Returns the channels or patterns that it concerns."""
        concerned = take_over(change, self._rows, "channel", _rules_of)
        self._changed(concerned)
        return concerned

    def _search(self, channel: str, action: str) -> AccessRule | None:
        own = self._rows.get(channel, {}).get(action)
        if channel == ALERTS_CHANNEL:
            return own if action == "subscribe" else None
        if own is not None:
            return own
        for pattern in self._patterns:
            rule = self._rows[pattern].get(action)
            if rule is not None and matches_wildcards(pattern, channel):
                return rule
        return None

    def _changed(self, patterns: Iterable[str | None]) -> None:
        self._found.clear()
        self._patterns = sorted((pattern for pattern in self._rows if "*" in pattern), key=_specificity)
        for pattern in patterns:
            for call in self._listeners:
                call(pattern)


def _specificity(pattern: str) -> tuple[int, int, str]:
    return -pattern.index("*"), -len(pattern.replace("*", "")), pattern


def _rules_of(row: Mapping[str, str | None]) -> dict[str, AccessRule]:
    pattern, rules = row["channel"] or "", _object(row.get("rules"))
    return {
        action: AccessRule(pattern, action, condition)
        for action in ACTIONS
        if isinstance(condition := rules.get(action), bool | str)
    }


def _object(text: str | None) -> dict[str, Any]:
    decoded = orjson.loads(text or "{}")
    return decoded if isinstance(decoded, dict) else {}
