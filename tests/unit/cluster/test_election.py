"""Which relay leads, where the database answers slowly."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.cluster import election
from engine.cluster.election import Election
from engine.cluster.settings import ClusterSettings

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
