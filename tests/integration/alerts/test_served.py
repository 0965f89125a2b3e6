"""A notice of a served node comes again until it is accepted."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.integration.alerts.served import KEY, settings
from tests.support.clients.list_client import slot_name
from tests.support.clients.transports import transport_client
from tests.support.ports import free_port
from tests.support.postgres.sql import connect, run_each, until
from tests.support.servers.processes import GIVE_UP_AFTER, serving
from tests.support.servers.webhook import webhook_server
from tests.support.values.tokens import token

QUICK = "update realtime.alert_rules set hold = '0'"


async def test_a_notice_that_is_not_accepted_is_sent_again_with_the_same_id(database: str) -> None:
    run_each(
        database, QUICK, "update realtime.alert_rules set threshold = 0, clear_at = 0 where name = 'many_connections'"
    )
    async with asyncio.timeout(4 * GIVE_UP_AFTER), webhook_server() as hook:
        hook.answer_with({}, 500)
        name = slot_name()
        async with (
            serving(database, free_port(), slot_name=name, ephemeral=True, **settings(hook)) as server,
            transport_client(server.url, "websocket", token=token(sub="ada")),
        ):
            await until(lambda: hook.requests)
            await until(lambda: "status 500" in str(notices(database)))
            hook.answer_with({})
            run_each(database, "update realtime.alert_notices set next_attempt_at = now()")
            await until(lambda: [each[2] for each in notices(database)] == [True])
            assert notices(database)[0][:2] == ("alert.raised", None)
            await server.end()
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 1
    assert "alert_not_delivered" in "".join(server.lines)
    assert KEY not in "".join(server.lines)


def notices(dsn: str) -> list[tuple[Any, ...]]:
    with connect(dsn) as sql:
        return sql.execute("select event, error, delivered_at is not null from realtime.alert_notices").fetchall()
