"""A database that stores text as LATIN1: what it can store comes through, what it lacks is refused in words."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from engine.errors import RealtimeError
from engine.identity.principal import Principal
from engine.live.core.shared_query import Subscription
from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import migrate
from tests.conftest import drop_database
from tests.support.nodes.channel_node import channel_node
from tests.support.postgres.sql import run, until


@pytest.fixture
def latin1(pg18: LocalPostgres) -> Iterator[str]:
    name = f"latin1_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(pg18.dsn, autocommit=True) as connection:
        connection.execute(f"create database {name} encoding 'LATIN1' template template0 locale 'C'".encode())
    dsn = pg18.dsn_for(name)
    migrate(dsn)
    yield dsn
    drop_database(pg18, dsn)


async def test_messages_and_commands_of_a_latin1_database_come_through(latin1: str) -> None:
    run(latin1, "insert into realtime.channel_defaults (pattern, history) values ('für:*', false)")
    async with channel_node(latin1) as one:
        for channel in ("für:1", "größe"):
            live = await one.listen(channel, user="Jürgen", presence={"name": "René"})
            ack = await one.publish(channel, {"é": "ü"}, event="gehört", member=live.member, id=f"Ö{channel}")
            run(latin1, "select realtime.broadcast(%s, 'geändert', '[\"é\"]', sender => 'Zoë')", channel)
            await live.until(lambda: len(live.messages) == 2)
            assert ack.position == live.positions[0]
            assert live.data == [{"é": "ü"}, ["é"]]
            assert [(m["event"], m["sender"]) for m in live.messages] == [("gehört", "Jürgen"), ("geändert", "Zoë")]
            assert (live.presence or {})["users"][0]["metadata"] == {"name": "René"}
        run(latin1, "select realtime.broadcast_users('{Jürgen}', 'für-dich', '\"é\"')")
        run(latin1, "select realtime.broadcast_all('für-alle', '\"ü\"')")
        run(latin1, "select realtime.kick('größe', 'Jürgen', 'größer')")
        await live.until(lambda: live.of("error"))
        assert [(m["event"], m["data"]) for m in live.messages[2:]] == [("für-dich", "é"), ("für-alle", "ü")]
        assert "größer" in live.of("error")[0]["message"]
        status = one.channels.status()
        assert (status["publishing"], status["malformed"]) == (0, 0)


async def test_text_that_a_latin1_database_cannot_store_is_refused_with_a_reason(latin1: str) -> None:
    run(latin1, "select realtime.create_channel('passing', history => false)")
    async with channel_node(latin1) as one:
        live = await one.listen("room", user="ann", presence={})
        for asked in (
            lambda: one.publish("room", "€"),
            lambda: one.publish("passing", "\N{GRINNING FACE}"),
            lambda: one.publish("room", 1, event="€"),
            lambda: one.publish("room", 1, id="€"),
            lambda: one.publish("ro€m", 1),
            lambda: one.listen("ro€m"),
            lambda: one.listen("ro€m", history=1),
            lambda: one.listen("room", user="€"),
        ):
            with pytest.raises(RealtimeError, match="LATIN1") as refused:
                await asked()
            assert refused.value.code == "RT_007"
        foreign = await one.listen("room", user="ann", since="0/1/1", epoch="€")
        assert foreign.subscription is not None
        assert foreign.subscription.recovered is False
        with pytest.raises(RealtimeError, match="LATIN1") as refused:
            await one.channels.set_presence("room", live.member, {"name": "€"})
        assert refused.value.code == "RT_009"
        await one.publish("room", "é")
        assert one.channels.status()["publishing"] == 0


async def test_live_queries_over_a_latin1_table_show_and_find_its_characters(latin1: str) -> None:
    run(latin1, "create table städte (id int primary key, name text, größe text)")
    run(latin1, "insert into städte values (1, 'Zürich', 'é'), (2, 'Genf', 'e')")
    run(latin1, "select realtime.expose('städte', 'staedte')")

    def into(changes: list[Any]) -> Callable[[Subscription, Any], None]:
        return lambda _, event: changes.extend(json.loads(event.changes_json))

    async with channel_node(latin1) as one:
        specs: list[dict[str, Any]] = [
            {"where": [["name", "in", ["Zürich", "Neuchâtel"]]]},
            {"sql": "select * from städte where name in ($1, $2)", "params": ["Zürich", "Neuchâtel"]},
        ]
        for spec in specs:
            changes: list[Any] = []
            (await one.live.subscribe(Principal(), "staedte", spec, into(changes))).begin()
            run(latin1, "insert into städte values (3, 'Neuchâtel', 'ê')")
            await until(lambda: len(changes) == 2)
            assert [change["doc"]["data"]["größe"] for change in changes] == ["é", "ê"]
            run(latin1, "delete from städte where id = 3")
            await until(lambda: len(changes) == 3)
        refused_specs: list[dict[str, Any]] = [
            {"where": [["name", "==", "€"]]},
            {"sql": "select * from städte where name = '€'"},
            {"sql": 'select größe as "€" from städte'},
            {"sql": "select * from städte where name = $1", "params": ["€"]},
        ]
        for spec in refused_specs:
            with pytest.raises(RealtimeError, match="LATIN1") as refused:
                await one.live.subscribe(Principal(), "staedte", spec, into([]))
            assert refused.value.code == "RT_007"
