"""The errors of rules, written beside the rules: ``realtime.rule_errors`` shows them where the rules were saved.

An error is written as soon as it happens, and what happens in the seconds after it together with the next one. Of each rule
there is one row, whose error is the last one; a row that has the same already is left, so that of many nodes with the same
error one writes. What belongs to no rule of now is neither written nor kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import psycopg
import structlog

from engine.background import BackgroundService
from engine.channels.core.access_rules import AccessRule
from engine.errors import RealtimeError

__all__ = ["RuleFailures", "Write"]

_PAUSE: Final = 10.0
_AT_ONCE: Final = 100
_MAX_WAITING: Final = 1_000
_LONGEST: Final = 1_000  # characters: what realtime.rule_failures takes
_PASSING: Final = (RealtimeError, psycopg.Error, OSError)

_log = structlog.get_logger("realtime.rules")

Write = Callable[..., Awaitable[list[dict[str, Any]]]]
"""Runs a named query of the node's own books: :meth:`engine.channels.db.store.Store.keep`."""


class RuleFailures(BackgroundService):
    """See the module. ``pause``: seconds between two statements."""

    def __init__(self, write: Write, pause: float = _PAUSE) -> None:
        super().__init__("rules")
        self._write = write
        self._pause = pause
        self._waiting: dict[AccessRule, tuple[str, str | None]] = {}
        self._noted = asyncio.Event()

    def start(self) -> None:
        """Begin to write."""
        self._background.spawn(self._run())

    async def stop(self) -> None:
        """Stop writing."""
        await self._background.stop()

    def note(self, rule: AccessRule, problem: str, channel: str | None = None) -> None:
        """``rule`` has failed in ``channel``; None: it does not compile. Of a thousand rules that wait no more are noted."""
        if len(self._waiting) < _MAX_WAITING or rule in self._waiting:
            self._waiting[rule] = problem, channel
            self._noted.set()

    async def write(self) -> None:
        """Write what has happened, of a hundred rules at most. Raises ``RealtimeError`` or ``psycopg.Error``."""
        rows = dict(zip(range(_AT_ONCE), self._waiting.items(), strict=False))
        found = [(rule, problem[:_LONGEST].replace("\0", "?"), channel) for rule, (problem, channel) in rows.values()]
        try:
            await self._write("rule_failures_note", **_columns(found))
        except psycopg.DataError:  # characters that the encoding of the database lacks
            await self._write("rule_failures_note", **_columns([_in_ascii(*each) for each in found]))
        for rule, noted in rows.values():
            if self._waiting.get(rule) == noted:
                del self._waiting[rule]

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                self._noted.clear()
                await self._noted.wait()
            try:
                await self.write()
            except _PASSING as error:
                _log.info("rule_failures_not_written", error=" ".join(str(error).split()))
            await asyncio.sleep(self._pause)


def _columns(rows: list[tuple[AccessRule, str, str | None]]) -> Mapping[str, list[str | None]]:
    return {
        "channels": [rule.pattern for rule, _, _ in rows],
        "actions": [rule.action for rule, _, _ in rows],
        "conditions": [str(rule.condition) for rule, _, _ in rows],
        "errors": [error for _, error, _ in rows],
        "failed_in": [channel for _, _, channel in rows],
    }


def _in_ascii(rule: AccessRule, problem: str, channel: str | None) -> tuple[AccessRule, str, str | None]:
    shown = None if channel is None else channel.encode("ascii", "replace").decode()
    return rule, problem.encode("ascii", "replace").decode(), shown
