"""Traces of real servers, as a collector gets them: from a publish or a commit to the last write, on every node."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from itertools import count
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.clients.list_client import slot_name, write
from tests.support.clients.transports import TRANSPORTS, TransportClient, transport_client
from tests.support.ports import free_port
from tests.support.servers.collector import Collector, Span, collecting
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess, serving
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

KEY = "k" * 32
SPAN = "b7ad6b7169203331"
STAGES = ["received", "encoding", "encoded", "first_write", "last_write"]
_numbers = count(1)


def new_trace() -> str:
    return f"{next(_numbers):032x}"


def parent(trace: str, flags: str = "01") -> str:
    return f"00-{trace}-{SPAN}-{flags}"


@asynccontextmanager
async def traced(
    database: str, collector: Collector, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> AsyncIterator[ServerProcess]:
    """A server that sends its traces to ``collector``."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    given = {"tracing": True, "trace_sample_ratio": 0.0, "rest_key": KEY, "slot_name": slot_name(), "ephemeral": True}
    async with serving(database, free_port(), **(given | options)) as server:
        yield server


def of(spans: list[Span], trace: str, name: str = "") -> list[Span]:
    return [span for span in spans if span.trace == trace and name in ("", span.name)]


def assert_in_order(span: Span) -> None:
    """Stages in their order, within the span; it ends with the last write."""
    assert [name for name, _ in span.events] == STAGES
    times = [at for _, at in span.events]
    assert times == sorted(times)
    assert span.start <= times[0]
    assert times[-1] == span.end


@pytest.mark.long
async def test_a_publish_is_one_trace_from_the_request_to_the_last_write_over_each_way(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    write(database, "select realtime.create_channel('quiet', history => false)")
    issuers = [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}]
    async with (
        collecting() as collector,
        traced(database, collector, monkeypatch, trace_trusted_parents="all", auth_issuers=issuers) as server,
        AsyncExitStack() as stack,
    ):
        clients = {
            transport: await stack.enter_async_context(transport_client(server.url, transport))
            for transport in TRANSPORTS
        }
        for client in clients.values():
            await client.join("chat:1", meta=True)
            await client.join("quiet", meta=True)
        plain = await stack.enter_async_context(transport_client(server.url, "websocket"))
        await plain.join("chat:1")
        for transport, client in clients.items():
            for channel, receivers in (("chat:1", 5), ("quiet", 4)):
                trace = new_trace()
                body = {"channel": channel, "event": "sent", "traceparent": parent(trace), "tracestate": "a=1"}
                assert (await client.ask(type="message", **body))["type"] == "ack"
                spans = await collector.until(lambda spans, trace=trace: len(of(spans, trace)) == 2)  # type: ignore[misc]
                [published], [delivered] = of(spans, trace, "publish"), of(spans, trace, "deliver")
                assert (published.parent, published.state, published.kind) == (SPAN, "a=1", 4)
                assert [name for name, _ in published.events] == ["sent", "committed"]
                expected = "websocket" if transport == "msgpack" else transport
                assert published.attributes["realtime.transport"] == expected
                assert published.attributes["messaging.message.body.size"] == len("null")
                assert (delivered.parent, delivered.state, delivered.kind) == (published.id, "a=1", 5)
                # The polling client may come for its message when the span is done.
                assert delivered.attributes["realtime.deliveries"] in (receivers - 1, receivers)
                assert_in_order(delivered)
                assert "messaging.destination.name" not in published.attributes | delivered.attributes
                for receiver in clients.values():
                    message = await receiver.receive("message")
                    passed = f"00-{trace}-{published.id}-01"
                    assert message["meta"] == {"traceparent": passed, "tracestate": "a=1"}, transport
        assert "meta" not in await plain.receive("message")
        trace = new_trace()
        async with httpx.AsyncClient(base_url=f"{server.url}/realtime/channels", timeout=GIVE_UP_AFTER) as http:
            headers = {"Authorization": f"Bearer {token(sub='ann')}", "traceparent": parent(trace)}
            answer = await http.post("/chat:1/broadcast", json={"event": "sent"}, headers=headers)
            assert answer.status_code == HTTPStatus.CREATED
        spans = await collector.until(lambda spans: len(of(spans, trace)) == 2)
        [published], [delivered] = of(spans, trace, "publish"), of(spans, trace, "deliver")
        assert (published.parent, delivered.parent) == (SPAN, published.id)
        assert published.attributes["realtime.transport"] == "rest"
        assert collector.headers[0]["authorization"] == "Bearer abc"
        assert spans[0].resource["service.name"] == "bunbase-realtime"
        assert spans[0].resource["deployment.environment.name"] == "test"


@pytest.mark.long
async def test_a_commit_of_a_server_continues_the_trace_at_every_node(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(database, "create table task (id int primary key)", "select realtime.expose('task')")
    async with (
        collecting() as collector,
        traced(database, collector, monkeypatch) as one,
        traced(database, collector, monkeypatch, trace_names=True) as two,
        AsyncExitStack() as stack,
    ):
        clients: list[TransportClient] = []
        for node in (one, two):
            client = await stack.enter_async_context(transport_client(node.url, "websocket"))
            await client.join("chat:1", meta=True)
            await client.join("db:collection:task", meta=True)
            await client.receive("snapshot")
            clients.append(client)
        by_sql, by_rest = new_trace(), new_trace()
        with psycopg.connect(database) as connection:
            connection.execute(
                "select realtime.annotate(%s)", [json.dumps({"user": "ada", "traceparent": parent(by_sql)})]
            )
            connection.execute("insert into task values (1)")
            connection.execute("select realtime.broadcast('chat:1', 'sent')")
        async with httpx.AsyncClient(base_url=f"{one.url}/realtime/channels", timeout=GIVE_UP_AFTER) as http:
            headers = {"Authorization": f"Bearer {KEY}", "traceparent": parent(by_rest), "tracestate": "a=1"}
            answer = await http.post("/chat:1/broadcast", json={"event": "sent"}, headers=headers)
            assert answer.status_code == HTTPStatus.CREATED
        for trace, deliveries in ((by_sql, 2), (by_rest, 1)):
            spans = await collector.until(lambda spans, trace=trace: len(of(spans, trace)) == 2)  # type: ignore[misc]
            found = of(spans, trace, "deliver")
            assert [span.parent for span in found] == [SPAN, SPAN]
            assert [span.attributes["realtime.deliveries"] for span in found] == [deliveries] * 2
            assert (
                len({span.id for span in found}) == len({span.resource["service.instance.id"] for span in found}) == 2
            )
            for span in found:
                assert_in_order(span)
        for client in clients:
            snapshot, first, second = [await client.receive(kind) for kind in ("snapshot", "message", "message")]
            assert snapshot["meta"] == first["meta"] == {"user": "ada", "traceparent": parent(by_sql)}
            assert second["meta"] == {"traceparent": parent(by_rest), "tracestate": "a=1"}


async def test_what_is_not_sampled_or_not_readable_makes_no_span(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with collecting() as collector, traced(database, collector, monkeypatch) as server:
        trace = new_trace()
        headers = {"Authorization": f"Bearer {KEY}"}
        contexts = {
            "a client's flag is not trusted": parent(trace),
            "not sampled": parent(trace, "00"),
            "malformed": parent(trace).upper(),
        }
        async with (
            transport_client(server.url, "websocket") as client,
            httpx.AsyncClient(
                base_url=f"{server.url}/realtime/channels", headers=headers, timeout=GIVE_UP_AFTER
            ) as http,
        ):
            await client.join("chat:1", meta=True)
            for given in contexts.values():
                assert (await client.ask(type="message", channel="chat:1", event="sent", traceparent=given))[
                    "type"
                ] == "ack"
            metas = [(await client.receive("message")).get("meta") for _ in contexts]
            assert metas == [{"traceparent": parent(trace)}, {"traceparent": parent(trace, "00")}, None]
            for given in (parent(trace, "00"), f"{parent(trace)}-x"):
                await http.post("/chat:1/broadcast", json={"event": "sent"}, headers={"traceparent": given})
            twice = [("traceparent", parent(trace)), ("traceparent", parent(trace))]
            await http.post("/chat:1/broadcast", json={"event": "sent"}, headers=twice)
            metas = [(await client.receive("message")).get("meta") for _ in range(3)]
            assert metas == [{"traceparent": parent(trace, "00")}, None, None]
            last = new_trace()
            await http.post("/chat:1/broadcast", json={"event": "sent"}, headers={"traceparent": parent(last)})
            spans = await collector.until(lambda spans: bool(of(spans, last)))
            assert {span.trace for span in spans} == {last}
            refused = await client.ask(type="message", channel="chat:1", event="sent", traceparent="x" * 513)
            assert refused["code"] == "RT_007"


async def test_without_a_parent_the_ratio_decides_and_what_waits_is_sent_at_the_end(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with collecting() as collector:
        async with (
            traced(
                database, collector, monkeypatch, trace_sample_ratio=1.0, trace_names=True, trust_user_parameter=True
            ) as server,
            transport_client(server.url, "websocket", user="ann") as client,
        ):
            await client.join("chat:1", meta=True)
            await client.ask(type="message", channel="chat:1", event="sent")
            write(database, "select realtime.broadcast('chat:1', 'sent')")
            first, second = [await client.receive("message") for _ in range(2)]
            assert "meta" not in second
        by_client = first["meta"]["traceparent"].split("-")[1]
        published, delivered = of(collector.spans, by_client, "publish"), of(collector.spans, by_client, "deliver")
        assert [span.parent for span in published] == [""]
        assert [span.parent for span in delivered] == [published[0].id]
        assert published[0].attributes["messaging.destination.name"] == "chat:1"
        assert published[0].attributes["user.id"] == "ann"
        by_sql = [
            span for span in collector.spans if span.trace != by_client and span.attributes["realtime.deliveries"]
        ]
        assert [(span.name, span.parent, span.attributes["realtime.deliveries"]) for span in by_sql][-1] == (
            "deliver",
            "",
            1,
        )


async def test_a_collector_that_refuses_everything_costs_a_warning_and_nothing_else(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    started = time.monotonic()
    async with collecting() as collector:
        collector.status = HTTPStatus.FORBIDDEN
        async with traced(database, collector, monkeypatch, trace_sample_ratio=1.0, log_format="json") as server:
            async with transport_client(server.url, "websocket") as client:
                await client.join("chat:1")
                for number in range(20):
                    await client.ask(type="message", channel="chat:1", event="sent", data=number)
                assert [(await client.receive("message"))["data"] for _ in range(20)] == list(range(20))
            await collector.until(lambda _: bool(collector.headers))
            assert (await server.health())[1]["status"] == "ok"
        assert server.process.returncode == 0
        events = [json.loads(line) for line in server.lines if "trace_export_failed" in line]
        assert 1 <= len(events) <= 1 + (time.monotonic() - started) // 60  # one a minute
        assert events[0]["level"] == "warning"
