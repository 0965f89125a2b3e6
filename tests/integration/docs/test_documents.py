"""JSON of pages that is no message of the protocol: of the REST API, of long polling, of the log, of health, of alerts."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg.rows import dict_row
from pydantic import BaseModel

from engine.postgres.statements.named_queries import query
from server.rest.description.models import Announcement, Broadcast, RuleTest
from tests.integration.docs.test_docs import MESSAGE_KEYS
from tests.support.clients.list_client import slot_name
from tests.support.doc_blocks import blocks
from tests.support.ports import free_port
from tests.support.servers.processes import serving

PROTOCOL = ("client to server", "server to client", "query: ")
REST, POLLING = "docs/reference/rest.md", "docs/reference/transports.md"
REQUESTS: tuple[type[BaseModel], ...] = (Broadcast, Announcement, RuleTest)
HEALTH, ALERTS, LOGS = "docs/getting-started.md", "docs/operations/alerts.md", "docs/operations/logs.md"

RAISED = """
with raised as (
  insert into realtime.alerts (rule, measure, subject, severity, value, threshold)
  values ('slot_lag', 'slot_lag_bytes', 'bunbase_realtime', 'warning', 2, 1) returning id
)
insert into realtime.alert_notices (alert_id, event) select id, 'alert.raised' from raised
"""


def documents(page: str) -> list[dict[str, Any]]:
    return [json.loads(block.text) for block in blocks("json", page=page) if not block.title.startswith(PROTOCOL)]


def test_requests_to_the_rest_api_are_of_its_models() -> None:
    *requests, problem = documents(REST)
    for model, request in zip(REQUESTS, requests, strict=True):
        assert model.model_validate(request).model_dump(by_alias=True, exclude_unset=True).keys() == request.keys()
    assert problem.keys() == {"type", "title", "status", "detail", "code"}


def test_answers_to_long_polling_have_messages_of_the_protocol() -> None:
    first, later = documents(POLLING)
    assert first.keys() == {"session", *later.keys()} == {"session", "cursor", "messages"}
    [message] = later["messages"]
    assert message.keys() <= MESSAGE_KEYS[message["type"]]


def test_a_line_of_the_log_has_what_each_has() -> None:
    [line] = documents(LOGS)
    assert {"event", "level", "logger", "timestamp"} <= line.keys()


def test_a_notice_has_what_nodes_send(database: str) -> None:
    [notice] = documents(ALERTS)
    assert notice.keys() == {"type", "timestamp", "source", "data"}
    with psycopg.connect(database, autocommit=True, row_factory=dict_row) as connection:
        connection.execute(RAISED)
        [due] = connection.execute(query("alerts_claim").encode()).fetchall()
    assert (notice["source"].keys(), notice["data"].keys()) == (due["source"].keys(), due["alert"].keys())


async def test_health_has_the_fields_of_a_server(database: str) -> None:
    [documented] = documents(HEALTH)
    async with serving(database, free_port(), slot_name=slot_name(), ephemeral=True, workers="2") as server:
        body = await server.healthy()
    shown = documented.pop("configuration"), body.pop("configuration")
    assert shown[0].keys() <= shown[1].keys()
    assert structure(documented) == structure(body)


def structure(value: Any) -> Any:
    """The names in a JSON value, without what they have."""
    if isinstance(value, list):
        return [structure(each) for each in value[:1] if isinstance(each, dict)]
    return {name: structure(each) for name, each in value.items()} if isinstance(value, dict) else None


def test_no_other_page_has_documents() -> None:
    pages = {block.page for block in blocks("json") if not block.title.startswith(PROTOCOL)}
    assert pages == {REST, POLLING, LOGS, ALERTS, HEALTH}
