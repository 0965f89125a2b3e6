"""The authorizer is asked about live queries as about channels, over every transport, with a connection's one principal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from engine.identity.principal import Principal
from server.auth.authorizer import UNKNOWN, Action, Circumstances, NameRules, NotAllowedError
from tests.support.clients.list_client import write
from tests.support.clients.transports import TRANSPORTS, transport_client
from tests.support.nodes.server_nodes import NodeHere
from tests.support.servers.processes import GIVE_UP_AFTER


class SecretsClosed(NameRules):
    """Refuses live queries over ``secrets``; notes what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Principal, Action, str]] = []

    async def authorize(
        self, principal: Principal, action: Action, resource: str, about: Circumstances = UNKNOWN
    ) -> None:
        self.asked.append((principal, action, resource))
        if (action, resource) == (Action.QUERY, "secrets"):
            raise NotAllowedError(f"{principal.user_id} may not read the collection 'secrets'")
        await super().authorize(principal, action, resource, about)


@pytest.fixture
async def node(database: str) -> AsyncIterator[NodeHere]:
    for name in ("secrets", "notes"):
        write(database, f"create table {name} (id int primary key)", f"insert into {name} values (1)")
        write(database, f"select realtime.expose('{name}')")
    node = NodeHere(database, "pgoutput")
    await node.start()
    yield node
    await node.stop()


async def test_a_collection_that_the_authorizer_closes_is_refused_with_its_reason(node: NodeHere) -> None:
    services = node._node._services
    assert services is not None
    for transport in TRANSPORTS:
        rules = SecretsClosed()
        node._node._services = replace(services, authorizer=rules)
        async with (
            asyncio.timeout(GIVE_UP_AFTER),
            transport_client(f"http://127.0.0.1:{node.port}", transport, user="ada") as ada,
        ):
            refused = await ada.join("db:collection:secrets", id="q", query={})
            assert (refused["type"], refused["code"], refused["id"]) == ("error", "RT_003", "q"), transport
            assert refused["message"] == "ada may not read the collection 'secrets'"
            assert (await ada.join("db:collection:notes", id="q", query={}))["type"] == "subscribed"
            assert len((await ada.receive("snapshot"))["changes"]) == 1
            assert (await ada.join("chat:1"))["type"] == "subscribed"
            await ada.leave()
        expected = [(Action.QUERY, "secrets"), (Action.QUERY, "notes"), (Action.SUBSCRIBE, "chat:1")]
        assert [(action, resource) for _, action, resource in rules.asked] == expected
        assert len({id(principal) for principal, _, _ in rules.asked}) == 1, "referenced, not copied"
