"""A number reaches PostgreSQL with the digits that the client wrote, over every transport, and is compared as SQL does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import httpx
import pytest
from websockets.asyncio.client import connect

from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.support.clients.list_client import write
from tests.support.clients.transports import (
    EventStreamClient,
    Message,
    PollingClient,
    SocketClient,
    TransportClient,
    open_stream,
    transport_client,
)
from tests.support.clients.users import running_server
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess

TABLE = """
create table n (id int primary key, v numeric, b bigint not null, j jsonb);
insert into n values (1, 0.12345678901234567890123, 1, '12345678901234567890123.5'),
  (2, -34338492.215397047, 9007199254740993, '1.5'), (3, 1e-20, 9223372036854775807, '"1.5"');
select realtime.expose('n')
"""
CHANNEL = "db:collection:n"

# What the client writes, letter by letter, and the rows that has.
QUERIES = [
    ('{"where":[["v","==",0.12345678901234567890123]]}', ["1"]),
    ('{"where":[["v","==",0.12345678901234567890124]]}', []),
    ('{"where":[["v","==",-34338492.215397047]]}', ["2"]),
    ('{"where":[["v","<",0.12345678901234567890124]]}', ["1", "2", "3"]),
    ('{"where":[["v","<",1e-16383]]}', ["2"]),
    ('{"where":[["v",">",-1e400],["v","<=",1E-20]]}', ["2", "3"]),
    ('{"where":[["v","in",[1e-20,-34338492.215397047]]]}', ["2", "3"]),
    ('{"orderBy":["v"],"startAt":[0.12345678901234567890123]}', ["1"]),
    ('{"orderBy":["v"],"startAfter":[0.12345678901234567890122]}', ["1"]),
    ('{"where":[["b","==",9007199254740993]]}', ["2"]),
    ('{"where":[["b","==",9007199254740993.0]]}', ["2"]),
    ('{"where":[["b","==","9007199254740993"]]}', ["2"]),
    ('{"where":[["b","<",99999999999999999999999999]]}', ["1", "2", "3"]),
    ('{"where":[["b","not-in",[99999999999999999999999999,1,0.5]]]}', ["2", "3"]),
    ('{"orderBy":["b"],"startAt":[99999999999999999999999999]}', []),
    ('{"orderBy":[["b","desc"]],"startAt":[99999999999999999999999999]}', ["3", "2", "1"]),
    ('{"orderBy":["b"],"endBefore":[9007199254740993.5]}', ["1", "2"]),
    ('{"where":[["j","==",12345678901234567890123.5]]}', ["1"]),
    ('{"where":[["j","==",12345678901234567890123.4]]}', []),
    ('{"where":[["j","==",1.50]]}', ["2"]),
    ('{"where":[["j","==","1.5"]]}', ["3"]),
    ('{"sql":"select id from n where v = $1","params":[0.12345678901234567890123]}', ["1"]),
    ('{"sql":"select id from n where j = $1","params":[12345678901234567890123.5]}', ["1"]),
    ('{"sql":"select id from n where b = any($1)","params":[[9007199254740993,1.0]]}', ["1", "2"]),
]
REFUSED = [
    ('{"where":[["v","==",1e999999999999999999999]]}', "1e999999999999999999999 is not a number"),
    ('{"where":[["v","==",1e140000]]}', "field 'v' is compared with a number of 140001 digits (1E+140000)"),
    ('{"where":[["v","==","1,5"]]}', "field 'v' (numeric) is compared with a number"),
    ('{"where":[["b","==","\\ud800"]]}', "invalid message"),
    ('{"where":[["j","==","\\ud800"]]}', "invalid message"),
    ('{"sql":"select id from n where b = $1","params":[99999999999999999999999999]}', "$1"),
    ('{"sql":"select id from n where b = $1","params":["\\ud800"]}', "invalid message"),
    (f'{{"sql":"select id from n where v = ${"9" * 5000}"}}', "not by 5000 digits"),
]


@pytest.fixture(scope="module")
def dsn(pg18: LocalPostgres) -> Iterator[str]:
    with database_on(pg18, TABLE) as found:
        yield found


@pytest.fixture(scope="module")
async def server(dsn: str) -> AsyncIterator[ServerProcess]:
    async with running_server(dsn) as found:
        yield found


def framed(query: str, id: str) -> str:
    return f'{{"type":"subscribe","channel":"{CHANNEL}","id":"{id}","query":{query}}}'


async def send(client: TransportClient, text: str) -> None:
    """Send it as it is written: no library of the test may read the numbers."""
    if isinstance(client, SocketClient):
        await client.socket.send(text)
        return
    client.batches += 1  # type: ignore[attr-defined]
    if isinstance(client, EventStreamClient):
        session = client.connected["session"]
        body = f'{{"session":"{session}","seq":{client.batches},"messages":[{text}]}}'
        assert (await client.http.post("/send", content=body)).status_code == 202
    else:
        assert isinstance(client, PollingClient)
        head = f'"session":"{client.secret}","cursor":{client.cursor},"timeout":0,"seq":{client.batches}'
        body = f'{{{head},"messages":[{text}]}}'
        answer = await client.http.post("/poll", content=body)
        client.cursor = answer.json()["cursor"]
        client.waiting += answer.json()["messages"]


async def rows(client: TransportClient) -> list[str]:
    answer = await client.receive("subscribed", "error")
    assert answer["type"] == "subscribed", answer
    snapshot = await client.receive("snapshot")
    return [change["doc"]["id"] for change in snapshot["changes"]]


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
async def test_a_number_keeps_all_its_digits_on_the_way_to_the_comparison(
    server: ServerProcess, transport: str
) -> None:
    wrong = []
    async with transport_client(server.url, transport) as client:
        for number, (query, ids) in enumerate(QUERIES):
            await send(client, framed(query, str(number)))
            found = await rows(client)
            if "sql" in query or "orderBy" not in query:
                found = sorted(found)
            if found != ids:
                wrong.append((query, found, ids))
    assert not wrong, wrong


async def test_a_number_in_the_address_of_an_event_stream_keeps_its_digits(server: ServerProcess) -> None:
    wanted = "&".join(
        f"subscribe={quote(framed(query, str(number)))}" for number, (query, _) in enumerate(QUERIES[:20])
    )
    async with httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER) as http:
        client = EventStreamClient(http, await open_stream(http, params=wanted))
        found: dict[str, list[str]] = {}
        while len(found) < 20:
            message: Message = await client.next()
            assert message["type"] != "error", message
            if message["type"] == "snapshot":
                found[message["id"]] = [change["doc"]["id"] for change in message["changes"]]
        await client.close()
    assert [sorted(found[str(number)]) for number in range(20)] == [sorted(ids) for _, ids in QUERIES[:20]]


async def test_a_string_of_digits_is_the_exact_number_where_messagepack_has_none(server: ServerProcess) -> None:
    async with transport_client(server.url, "msgpack") as client:
        for number, (condition, ids) in enumerate(
            [
                (["v", "==", "0.12345678901234567890123"], ["1"]),
                (["v", "==", "0.12345678901234567890124"], []),
                (["b", "==", 9007199254740993], ["2"]),
                (["b", "<", "99999999999999999999999999"], ["1", "2", "3"]),
            ]
        ):
            await client.send(type="subscribe", channel=CHANNEL, id=str(number), query={"where": [condition]})
            assert sorted(await rows(client)) == ids


async def test_a_number_that_cannot_be_compared_is_refused_with_its_field_and_value(server: ServerProcess) -> None:
    async with transport_client(server.url, "websocket") as client:
        for number, (query, words) in enumerate(REFUSED):
            await send(client, framed(query, str(number)))
            answer = await client.receive("subscribed", "error")
            assert (answer.get("code"), words in answer.get("message", "")) == ("RT_007", True), (query, answer)


async def test_the_numbers_of_a_message_and_of_a_presence_stay_as_they_were_written(server: ServerProcess) -> None:
    digits = "0.12345678901234567890123"
    async with transport_client(server.url, "websocket") as client:
        assert isinstance(client, SocketClient)
        joining = '{"type":"subscribe","channel":"chat:1","presence":{"metadata":{"at":DIGITS}}}'
        publishing = '{"type":"message","channel":"chat:1","event":"e","data":{"at":DIGITS}}'
        received: list[str] = []

        async def until(part: str) -> None:
            while not any(part in text for text in received):
                received.append(str(await client.socket.recv()))

        async with asyncio.timeout(GIVE_UP_AFTER):
            await client.socket.send(joining.replace("DIGITS", digits))
            await until('"subscribed"')  # what is published before is not of this subscription
            await client.socket.send(publishing.replace("DIGITS", digits))
            await until('"event":"e"')
        assert digits in received[-1]
        assert any(digits in text and "presence" in text for text in received), received
        assert json.loads(received[-1])["data"]["at"] == float(digits)


async def test_an_audience_distinguishes_attributes_by_all_their_digits(server: ServerProcess, dsn: str) -> None:
    def broadcast(digits: str, data: str) -> None:
        where = f'{{"where":[["level","==",{digits}]]}}'
        write(dsn, f"select realtime.broadcast('chat:2', 'e', '{data}', audience => '{where}')")

    attributes = quote('{"level":0.12345678901234567890123}')
    address = f"{server.websocket}?user=ada&attributes={attributes}"
    async with connect(address) as socket:
        client = SocketClient(socket, packed=False)
        await client.join("chat:2")
        broadcast("0.12345678901234567890124", '"for another"')
        broadcast("0.12345678901234567890123", '"for her"')
        assert (await client.receive("message"))["data"] == "for her"
