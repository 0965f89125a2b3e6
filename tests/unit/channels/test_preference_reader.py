"""Preferences of users who come at the same time are read together, and each gets its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.channels.core.messages.model import UnavailableError
from engine.channels.presence import preference_reader
from engine.channels.presence.preference_reader import PreferenceReader
from engine.lsn import Lsn


class Preferences:
    """The rows of each user are its name; reads wait for ``gate``, and fail if they are to."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.reads: list[list[str]] = []
        self.began = asyncio.Event()
        self.failure: Exception | None = None

    async def rows(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        self.reads.append(parameters["users"])
        self.began.set()
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return [{"user_id": user, "channel": user} for user in parameters["users"] if user != "none"]

    async def committed(self) -> Lsn:
        return 7


async def reached(position: Lsn) -> None:
    assert position == 7


async def test_those_who_ask_while_a_read_is_under_way_share_the_next() -> None:
    store = Preferences()
    reader = PreferenceReader(store, reached)
    async with asyncio.timeout(60):
        first = asyncio.create_task(reader.rows_of("first"))
        await store.began.wait()
        others = [asyncio.create_task(reader.rows_of(user)) for user in ("a", "b", "none", "a")]
        await asyncio.sleep(0)
        others[0].cancel()
        store.gate.set()
        assert [row["channel"] for row in await first] == ["first"]
        assert [[row["channel"] for row in await each] for each in others[1:]] == [["b"], [], ["a"]]
        assert store.reads == [["first"], ["a", "b", "none"]]


async def test_a_read_that_fails_fails_for_those_who_asked_and_not_for_the_next() -> None:
    store = Preferences()
    store.gate.set()
    store.failure = UnavailableError("away")
    reader = PreferenceReader(store, reached)
    async with asyncio.timeout(60):
        asked = [asyncio.create_task(reader.rows_of(user)) for user in ("a", "b")]
        for each in asked:
            with pytest.raises(UnavailableError):
                await each
        store.failure = None
        assert [row["channel"] for row in await reader.rows_of("a")] == ["a"]


async def test_a_stream_that_does_not_get_there_fails_a_read_and_the_next_asks_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where the position was that of another server."""
    monkeypatch.setattr(preference_reader, "WAITS", 0.05)
    store, passed = Preferences(), asyncio.Event()
    store.gate.set()

    async def waits(position: Lsn) -> None:
        await passed.wait()

    reader = PreferenceReader(store, waits)
    async with asyncio.timeout(60):
        with pytest.raises(UnavailableError, match="does not follow the database now"):
            await reader.rows_of("a")
        passed.set()
        assert [row["channel"] for row in await reader.rows_of("a")] == ["a"]
