"""The REST API without a server around it, what its refusals look like, and a user to ask it about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette

from engine.channels.core.access_rules import AccessRules
from engine.identity.principal import Principal
from server.auth.api_keys import KeyRing
from server.auth.authorizer import Action, Circumstances, NameRules
from server.client.shared import SharedServices
from server.rest import Rest
from server.rest.access import Access
from server.rules.explain import Explanation, explain
from server.rules.judge import RuleJudge
from tests.support.fakes.channels import FakeChannels
from tests.support.fakes.server import FakeLiveQueries

KEY = "correct horse"
LOCAL = "http://localhost:8000"
USER_ROWS = """
insert into realtime.nodes (id, lease_expires_at) values ('n1', now() + interval '1 hour');
insert into realtime.connections (id, node_id, user_id, transport, ip, attributes) values
  ('c1', 'n1', 'ada', 'websocket', '192.0.2.1', '{"team": "red"}'), ('c2', 'n1', 'ada', 'websocket', null, '{}'),
  ('c3', 'n1', null, 'sse', null, '{}');
insert into realtime.presence (channel, connection_id, user_id, metadata, state) values
  ('chat:1', 'c1', 'ada', '{"name": "Ada"}', '{"status": "online"}'), ('chat:1', 'c2', 'ada', '{"name": "Ada"}', '{}'),
  ('chat:1', 'c3', 'c3', '{}', '{}')
"""
FIGURES = """
insert into realtime.node_stats
  (node_id, version, state, position, channels, subscriptions, queries, query_subscriptions, messages, reads)
values ('n1', '1', 'ok', '0/1', 1, 1, 1, 1, 1, 1);
insert into realtime.node_channels (node_id, channel, subscribers) values ('n1', 'chat:1', 3);
insert into realtime.node_queries
  (node_id, query_id, collection, role, strategy, query, subscribers, result_rows, reads, read_ms)
values ('n1', 'q1', 'items', 'anonymous', 'incremental', '{}', 2, 5, 1, 1.5);
insert into realtime.alerts (rule, measure, subject, severity, value, threshold)
values ('slot_lag', 'slot_lag_bytes', 's1', 'warning', 2, 1);
update realtime.nodes set schema_version = 1
"""


class RulelessNode:
    """A node without rules, clients and live queries."""

    rules = AccessRules()

    def __init__(self) -> None:
        self.services = SharedServices(FakeLiveQueries(), FakeChannels())

    def room(self, channel: str) -> None:
        pass

    async def current(self) -> None:
        pass

    async def explain(self, principal: Principal, action: Action, channel: str, about: Circumstances) -> Explanation:
        return explain(RuleJudge(self), NameRules(), principal, action, channel, about)


def rest_over(dsn: str, key: str | None = None) -> Rest:
    access = Access(key, KeyRing())
    return Rest(dsn, "1.2.3", access=access, pool_size=2, message_size=128 * 1024, node=RulelessNode())


def api(rest: Rest, address: str = "127.0.0.1") -> httpx.AsyncClient:
    """A client of ``rest`` whose requests come from ``address``."""
    app = Starlette(routes=[rest.mount])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app, client=(address, 5)), base_url=LOCAL)


@asynccontextmanager
async def started_api(dsn: str, key: str | None = None, address: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    """The same of an API that has begun, for at most a minute."""
    rest = rest_over(dsn, key)
    await rest.start()
    async with asyncio.timeout(60), api(rest, address) as client:
        yield client
    await rest.stop()


def problem(answer: httpx.Response, status: int, code: str) -> str:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "code"}
    assert (body["status"], body["code"]) == (status, code), body
    detail: str = body["detail"]
    return detail
