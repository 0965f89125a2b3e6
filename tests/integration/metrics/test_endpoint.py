"""``GET /metrics``: who gets it, and in which format."""

from __future__ import annotations

import json

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from tests.support.clients.list_client import slot_name
from tests.support.clients.transports import transport_client
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, serving

KEY = "k" * 32


async def test_metrics_are_for_operators_in_the_format_that_they_ask_for(database: str) -> None:
    async with (
        serving(database, free_port(), rest_key=KEY) as server,
        httpx.AsyncClient(base_url=server.url, timeout=GIVE_UP_AFTER) as http,
        transport_client(server.url, "websocket"),
    ):
        refused = await http.get("/metrics")
        assert (refused.status_code, refused.json()["code"]) == (401, "RT_002")
        assert (await http.get("/health")).json() == {"status": "ok"}
        for probe in ("/health/live", "/health/ready"):
            answer = await http.get(probe)
            assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        http.headers["Authorization"] = f"Bearer {KEY}"
        health = (await http.get("/health")).text
        assert database not in health
        assert KEY not in health
        shown = json.loads(health)["configuration"]
        assert (shown["dsn"], shown["rest_key"], shown["pooled_dsn"], shown["host"]) == (True, True, False, "127.0.0.1")
        plain = await http.get("/metrics")
        assert plain.headers["content-type"].startswith("text/plain; version=")
        found = {each.name: each for each in text_string_to_metric_families(plain.text)}
        [connections] = [
            each for each in found["realtime_connections"].samples if each.labels["transport"] == "websocket"
        ]
        assert connections.value == 1
        assert found["process_resident_memory_bytes"].samples[0].value > 0
        errors = [each for each in found["realtime_errors"].samples if each.value]
        assert [(each.labels, each.value) for each in errors] == [({"transport": "http", "code": "RT_002"}, 1)]
        accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        modern = await http.get("/metrics", headers={"Accept": accept})
        assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert modern.headers["cache-control"] == "no-store"
        assert "realtime_messages_sent" in {each.name for each in openmetrics_families(modern.text)}


async def test_without_metrics_there_is_no_such_address_and_messages_are_delivered(database: str) -> None:
    async with (
        serving(database, free_port(), metrics=False, slot_name=slot_name(), ephemeral=True) as server,
        httpx.AsyncClient(base_url=server.url, timeout=GIVE_UP_AFTER) as http,
        transport_client(server.url, "websocket") as client,
    ):
        assert (await http.get("/metrics")).status_code == 404
        await client.join("chat:1")
        await client.ask(type="message", channel="chat:1", event="sent", data=1)
        assert (await client.receive("message"))["data"] == 1
        assert (await http.get("/health")).json()["status"] == "ok"
