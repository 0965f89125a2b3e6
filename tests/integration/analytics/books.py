"""A database into which nodes write their sums at times of the test."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import dict_row

__all__ = ["NOON", "Books", "Row"]

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)  # on this day clocks of Central Europe are put forward

Row = dict[str, Any]


class Books:
    """A database into which nodes write at times of the test."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._batches: dict[str, int] = {}
        self._sql = psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
        self._sql.execute("set time zone 'America/New_York'")  # of no concern to it

    def close(self) -> None:
        self._sql.close()

    def rows(self, text: str, *parameters: object) -> list[Row]:
        return self._sql.execute(text.encode(), parameters or None).fetchall()

    def add(
        self, node: str, at: datetime, *, batch: int | None = None, now: datetime | None = None, **sums: object
    ) -> bool:
        """A node adds a minute. ``users``: their hashes; ``channels``: messages by name."""
        self._batches[node] = batch or self._batches.get(node, 0) + 1
        channels: Any = sums.pop("channels", {})
        minute = {
            **dict.fromkeys(
                ("users", "users_of_hour", "users_of_day", "sessions", "sessions_ended", "session_seconds"), 0
            ),
            **dict.fromkeys(("connections", "messages_in", "messages_out", "active_channels"), 0),
            "minute": int(at.timestamp()) // 60,
            "published": sum(channels.values()),
            "hashes": sums.pop("hashes", []),
            "channels": {name: [count, 1] for name, count in channels.items()},
            "countries": {},
            **sums,
        }
        text = "select realtime.add_usage(%s, 'run', %s, '0/1', %s::jsonb, %s) as added"
        [row] = self.rows(text, node, self._batches[node], json.dumps([minute]), now or at + timedelta(minutes=1))
        return bool(row["added"])

    def roll_up(self, now: datetime, channels: int = 50, every: str = "0") -> bool:
        text = "select realtime.roll_up_usage(%s, '2 days', '90 days', '3 years', %s, %s) as done"
        [row] = self.rows(text, every, channels, now)
        return bool(row["done"])

    def level(self, view: str) -> list[Row]:
        return self.rows(f"select * from realtime.analytics_{view} order by at")
