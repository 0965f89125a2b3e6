"""What `realtime doctor` finds about NATS."""

from __future__ import annotations

import asyncio

from engine.cluster.identity import identity_of
from engine.postgres.reconnecting import Database
from server.app.settings import Settings
from server.cli.doctor.nats_checks import nats_findings
from tests.integration.cluster.conftest import Cluster


async def _levels(dsn: str, *urls: str, slot: str) -> list[tuple[str, str]]:
    settings = Settings(nats_url=urls, slot_name=slot)
    async with Database(dsn, "a test") as database:
        ours = await identity_of(database)
    found = await asyncio.to_thread(lambda: list(nats_findings(settings, ours)))
    assert all("realtime:" not in str(each) for each in found), "no password is shown"
    return [(each.level, each.text) for each in found]


async def test_doctor_examines_each_nats_server(cluster: Cluster) -> None:
    name = f"NATS at nats://127.0.0.1:{cluster.nats.port}"
    stream = cluster.settings.stream
    no_tls = ("warn", f"{name} does not speak TLS")
    rights = ("warn", f"{name} lets the user of nats_url read all subjects")
    none = ("warn", f"{name} has no stream {stream}")
    assert await _levels(cluster.dsn, cluster.nats.url, slot=cluster.slot) == [rights, no_tls, none]
    await cluster.relay()
    await cluster.leading()
    assert [level for level, _ in await _levels(cluster.dsn, cluster.nats.url, slot=cluster.slot)] == [
        "warn",
        "warn",
        "ok",
    ]
    wrong = cluster.nats.url.replace("realtime:", "realtime:x")
    [(level, text)] = await _levels(cluster.dsn, wrong, slot=cluster.slot)
    assert level == "problem"
    assert "cannot be reached" in text


async def test_doctor_names_the_other_database_whose_stream_it_is(cluster: Cluster, database15: str) -> None:
    await cluster.relay()
    await cluster.leading()
    level, text = (await _levels(database15, cluster.nats.url, slot=cluster.slot))[-1]
    assert level == "problem"
    names = [each.rsplit("/", 1)[1] for each in (cluster.dsn, database15)]
    assert f"is of the database {names[0]} (oid " in text
    assert f"this process is of {names[1]} (oid " in text
