"""A development server that is started a second time would wait for the slot of the first one, without a word."""

from __future__ import annotations

from typing import Final

import psycopg
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from engine.errors import RealtimeError
from engine.postgres.connections.opening import connect_now
from engine.postgres.statements.named_queries import query

__all__ = ["AlreadyServedError", "refuse_second_start"]

_RELEASE_TIMEOUT: Final = 5
"""Seconds in which a server that ends, or was killed, gives its slot back."""


class AlreadyServedError(RealtimeError):
    """A server has the slot; the message names its process, and what to do."""


def refuse_second_start(dsn: str, slot: str) -> None:
    """Raises ``AlreadyServedError`` if a server has the slot, and keeps it; ``psycopg.Error``."""
    with connect_now(dsn, "realtime dev", autocommit=True) as connection:
        for attempt in Retrying(
            retry=retry_if_exception_type(AlreadyServedError),
            stop=stop_after_delay(_RELEASE_TIMEOUT),
            wait=wait_fixed(0.2),
            reraise=True,
        ):
            with attempt:
                _look(connection, slot)


def _look(connection: psycopg.Connection, slot: str) -> None:
    for process, host in connection.execute(query("server_with_slot"), [slot]):
        by = f", by process {process}" if process is not None else ""
        on = f" on {host}" if host is not None else ""
        raise AlreadyServedError(
            f"this database is served already{by}{on}: stop that, or give another --data-dir, "
            "or another slot by REALTIME_SLOT_NAME"
        )
