"""Which relay leads, where the database answers slowly."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.cluster import election
from engine.cluster.election import Election
from engine.cluster.settings import ClusterSettings
from engine.postgres.connections.opening import UnansweredError

LEASE = 0.01


async def test_what_a_slow_look_takes_is_no_silence_of_the_leading_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1.0
    silent: dict[str, Any] = {"leads": False, "leader": "first", "pid": 1, "silent": 1.5 * LEASE}
    looks = iter([(1.2 * LEASE, silent), (0.0, silent), (0.0, {"leads": True, "leader": None, "silent": None})])
    asked: list[str] = []

    async def ask(name: str, **_: object) -> dict[str, Any]:
        nonlocal now
        asked.append(name)
        if name == "relay_depose":
            return {}
        took, row = next(looks)
        now += took
        return row

    monkeypatch.setattr(election, "time", SimpleNamespace(monotonic=lambda: now))
    one = Election("", ClusterSettings(urls=(), slot="s", lease=LEASE), "second")
    monkeypatch.setattr(one, "_ask", ask)
    await one.won()
    assert asked == ["relay_try_lead", "relay_try_lead", "relay_depose", "relay_try_lead"]
    assert (one.leader, one.deposed) == ("second", 1)


@pytest.mark.parametrize(
    ("silence", "apart", "deposed"), [(1.5, 10, 1), (2.5, 10, 2), (3.5, 10, 2), (4.5, 10, 4), (1.5, 100, 4)]
)
async def test_relay_that_has_ended_terms_lately_ends_the_next_one_later(
    monkeypatch: pytest.MonkeyPatch, silence: float, apart: int, deposed: int
) -> None:
    """Of a machine that has no time for a leading relay, whichever it is. ``silence``, ``apart``: in leases."""
    now, silences = 1.0, 4

    async def ask(name: str, **_: object) -> dict[str, Any]:
        nonlocal silences
        if name == "relay_depose":
            await pass_by(0.0)
            return {}
        silences -= 1
        silent = silence * LEASE if silences >= 0 else None
        return {"leads": silences < 0, "leader": "first", "pid": 1, "silent": silent}

    async def pass_by(_: float) -> None:
        nonlocal now
        now += apart * LEASE

    monkeypatch.setattr(election, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(election, "asyncio", SimpleNamespace(sleep=pass_by))
    one = Election("", ClusterSettings(urls=(), slot="s", lease=LEASE), "second")
    monkeypatch.setattr(one, "_ask", ask)
    await one.won()
    assert one.deposed == deposed


async def test_relay_that_got_no_answer_lately_waits_longer_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now, timeouts = 1.0, list[float]()

    async def connect(*_: object, answer_timeout: float, **__: object) -> None:
        timeouts.append(round(answer_timeout / LEASE))
        raise UnansweredError("the database did not answer")

    monkeypatch.setattr(election, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(election, "connect", connect)
    one = Election("", ClusterSettings(urls=(), slot="s", lease=LEASE), "first")
    for _ in range(5):
        with pytest.raises(UnansweredError):
            await one.won()
        now += 2 * LEASE
    now += 100 * LEASE
    with pytest.raises(UnansweredError):
        await one.won()
    assert timeouts == [3, 6, 12, 12, 12, 3]
