"""Content policies of a served database: what clients publish is judged on every node and transport before it is stored."""

from __future__ import annotations

import asyncio
import json
import math

import httpx
import psycopg
import pytest
from websockets.asyncio.client import connect

from tests.support.clients.list_client import read, write
from tests.support.clients.transports import TRANSPORTS, Message, TransportClient, transport_client
from tests.support.clients.users import UserClient, rest_client, running_server, user_client
from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

SCHEMA = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "maxLength": 5}}}
STORED = "select payload::text from realtime.messages order by seq"


def policy(name: str, schema: object, channel: str = "chat:*", event: str = "*") -> str:
    return (
        f"insert into realtime.content_policies (name, channel, event, schema) "
        f"values ('{name}', '{channel}', '{event}', '{json.dumps(schema)}')"
    )


async def in_force(server: ServerProcess, policies: int, problems: int = 0) -> list[str]:
    """Wait until the server has so many policies and problems; returns the problems."""
    async with asyncio.timeout(GIVE_UP_AFTER), httpx.AsyncClient() as http:
        while True:
            found = (await http.get(f"{server.url}/health")).json()["content"]
            if (found["policies"], len(found["problems"])) == (policies, problems):
                problems_found: list[str] = found["problems"]
                return problems_found
            await asyncio.sleep(0.02)


async def publish(client: TransportClient, data: object, channel: str = "chat:1") -> tuple[str, str]:
    """Type and text of the answer."""
    answer = await client.ask(type="message", channel=channel, event="e", data=data, ref="r")
    return str(answer.get("code", answer["type"])), str(answer.get("message", ""))


async def test_a_schema_judges_the_messages_of_every_transport_and_what_it_refuses_is_not_stored(
    database: str,
) -> None:
    write(database, policy("chat", SCHEMA))
    async with running_server(database) as server, rest_client(server) as http, asyncio.timeout(2 * GIVE_UP_AFTER):
        for transport in TRANSPORTS:
            async with transport_client(server.url, transport) as client:
                refused = ("RT_007", "data.text: the value is longer than 5 characters (content policy 'chat')")
                assert await publish(client, {"text": "too long"}) == refused
                assert (await publish(client, {"text": transport[:5]}))[0] == "ack"
                assert (await publish(client, {}, "other"))[0] == "ack"
                await client.leave()
        stored = [f'{{"text": "{transport[:5]}"}}' for transport in TRANSPORTS]
        assert [payload for (payload,) in read(database, STORED) if payload != "{}"] == stored
        trusted = await http.post("/channels/chat:1/broadcast", json={"event": "e", "data": "of a server"})
        assert trusted.status_code == 201
        write(database, "select realtime.broadcast('chat:1', 'e', '\"of SQL\"')")
        assert len(read(database, STORED)) == 2 * len(TRANSPORTS) + 2


async def test_policies_are_learned_through_the_feed_by_every_node_and_presence_is_judged_too(database: str) -> None:
    async with (
        running_server(database) as one,
        running_server(database) as two,
        user_client(one, "ada") as ada,
        user_client(two, "bob") as bob,
    ):
        assert (await publish(ada, 1), await publish(bob, 1)) == (("ack", ""), ("ack", ""))
        write(database, policy("chat", SCHEMA))
        write(database, policy("people", SCHEMA, event="presence:update"))
        for server in (one, two):
            await in_force(server, 2)
        for client in (ada, bob):
            assert (await publish(client, 1))[0] == "RT_007"
            refused = await client.join(presence={"name": "A"})
            assert (refused["code"], "(content policy 'people')" in refused["message"]) == ("RT_009", True)
            assert (await client.join(presence={"text": "here"}))["type"] == "subscribed"
            changed = await client.ask(type="presence:update", channel="chat:1", data={"text": "too long"}, ref="r")
            assert (changed["code"], changed["ref"]) == ("RT_009", "r")
            changed = await client.ask(type="presence:update", channel="chat:1", data={"text": "away"})
            assert changed["type"] == "ack"
        write(database, "update realtime.content_policies set schema = '{\"type\": \"nope\"}' where name = 'chat'")
        for server, client in ((one, ada), (two, bob)):
            [problem] = await in_force(server, 2, problems=1)
            assert problem.startswith("chat: schema.type: ")
            assert (await publish(client, {"text": "a"}))[0] == "RT_001", "what cannot be judged is not published"
            assert (await publish(client, 1, "other"))[0] == "ack"
            status, _ = await server.health()
            assert status == 200, "the rest is served"
        write(database, "delete from realtime.content_policies")
        for server, client in ((one, ada), (two, bob)):
            await in_force(server, 0)
            assert (await publish(client, 1))[0] == "ack"


async def test_messages_and_presence_are_sanitized_before_they_are_stored_and_delivered(database: str) -> None:
    columns = "insert into realtime.content_policies (name, channel, event, sanitize) values"
    write(database, f"{columns} ('m', 'chat:*', '*', '{{\"data.html\": \"formatting\"}}')")
    write(database, f"{columns} ('p', 'chat:*', 'presence:update', '{{\"data.name\": \"text\"}}')")
    async with running_server(database) as server, user_client(server, "ada") as ada:
        joined = await ada.join(presence={"name": "Ada<img src=x onerror=alert(1)>"})
        assert joined["type"] == "subscribed"
        assert read(database, "select metadata ->> 'name' from realtime.presence") == [("Ada",)]
        data = {"html": "<b onclick=alert(1)>hi</b><script>alert(1)</script>", "n": 1.5}
        assert await publish(ada, data) == ("ack", "")
        assert (await ada.receive("message"))["data"] == {"html": "<b>hi</b>", "n": 1.5}
        assert read(database, STORED) == [('{"n": 1.5, "html": "<b>hi</b>"}',)]


async def test_words_are_masked_rejected_or_flagged_in_the_log_which_does_not_repeat_them(database: str) -> None:
    filters = [
        {"words": ["mild"], "action": "mask"},
        {"words": ["worse"], "patterns": [r"https?://\S+"], "fields": ["data.text"], "action": "reject"},
        {"words": ["odd"], "action": "flag"},
    ]
    columns = "insert into realtime.content_policies (name, channel, event, filters) values"
    write(database, f"{columns} ('words', 'chat:*', '*', '{json.dumps(filters)}')")
    async with running_server(database) as server, user_client(server, "ada") as ada:
        await ada.join()
        reason = "data: it has a word or a pattern that is not taken here (content policy 'words')"
        assert await publish(ada, {"text": "Worse"}) == ("RT_007", reason)
        assert await publish(ada, {"text": "see HTTP://x.example"}) == ("RT_007", reason)
        assert await publish(ada, {"text": "M\u200bild, oddly odd", "n": 1}) == ("ack", "")
        assert (await ada.receive("message"))["data"] == {"text": "*****, oddly odd", "n": 1}
        assert read(database, STORED) == [('{"n": 1, "text": "*****, oddly odd"}',)]
        await server.end()
    [flagged] = [line for line in server.lines if "content_flagged" in line]
    for part in ("words", "chat:1", "ada"):
        assert part in flagged
    assert "oddly" not in "".join(server.lines)


async def test_a_sender_of_spam_is_refused_on_all_connections_and_others_are_not(database: str) -> None:
    spam = {"threshold": 5, "half_life": 86_400, "link": 4}
    columns = "insert into realtime.content_policies (name, channel, spam) values"
    write(database, f"{columns} ('spam', 'chat:*', '{json.dumps(spam)}')")
    async with (
        running_server(database) as server,
        user_client(server, "ada") as ada,
        user_client(server, "ada") as ada_too,
        user_client(server, "bob") as bob,
    ):
        assert await publish(ada, "see https://x.example") == ("ack", "")
        code, text = await publish(ada_too, "and more")
        assert (code, "try again in " in text) == ("RT_003", True)
        assert await publish(bob, "hello") == ("ack", "")
        assert await publish(bob, "hello") == ("ack", "")
        assert (await publish(bob, "Hello"))[0] == "RT_003", "it repeats itself"
        assert await publish(ada, "elsewhere", "other") == ("ack", "")


async def test_a_burst_is_answered_with_the_seconds_after_which_the_message_passes(database: str) -> None:
    spam = {"threshold": 6, "half_life": 5}
    columns = "insert into realtime.content_policies (name, channel, spam) values"
    write(database, f"{columns} ('spam', 'chat:*', '{json.dumps(spam)}')")
    issuers = json.dumps([{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}])
    headers = {"Authorization": f"Bearer {token()}"}
    async with (
        running_server(database, auth_issuers=issuers) as server,
        connect(server.websocket, additional_headers=headers) as socket,
        rest_client(server) as http,
    ):
        await in_force(server, 1)
        ada = UserClient(socket)
        body = {"type": "message", "channel": "chat:1", "event": "e", "ref": "r"}
        refused: Message = {"type": "ack"}
        while refused["type"] == "ack":
            refused = await ada.ask(**body, data="more")
        assert refused["code"] == "RT_006"
        assert 0 < refused["retryAfter"] <= 8
        answer = await http.post("/channels/chat:1/broadcast", json={"event": "e", "data": "more"}, headers=headers)
        while answer.status_code == 201:
            answer = await http.post("/channels/chat:1/broadcast", json={"event": "e", "data": "more"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (429, "RT_006")
        assert 0 < answer.json()["retryAfter"] <= 8
        assert answer.headers["Retry-After"] == str(math.ceil(answer.json()["retryAfter"]))


async def test_the_hook_is_asked_about_messages_after_the_policies(database: str) -> None:
    columns = "insert into realtime.content_policies (name, sanitize) values"
    write(database, f"{columns} ('clean', '{{\"data.text\": \"text\"}}')")
    hook = "tests.support.programs.content_hook:no_shouting"
    async with running_server(database, content_hook=hook, content_hook_timeout=60) as server:
        async with user_client(server, "ada") as ada:
            assert await publish(ada, {"text": "<i>HELLO</i>"}) == ("RT_007", "data: do not shout")
            assert (await publish(ada, {"no text": 1}))[0] == "RT_001"
            assert await publish(ada, {"text": "<i>hello</i>"}) == ("ack", "")
        assert read(database, STORED) == [('{"text": "hello"}',)]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("name => ''", "name has 1 to 255 characters"),
        ("channel => 'a*b'", "channel: 'a*b' has a * that is not at its end"),
        ("channel => 'db:collection:users'", "names that begin with db: are live queries"),
        ("channel => ''", "channel has 1 to 255 characters"),
        ("event => E'a\\tb'", "has control characters"),
        ("schema => null", "schema, sanitize, filters, spam: a policy has one of them"),
        ("schema => '[]'", "schema: a JSON Schema is an object, true or false"),
        ("schema => to_jsonb(repeat('x', 70000))", "schema: a JSON Schema is an object, true or false"),
        ("schema => jsonb_build_object('const', repeat('x', 70000))", "schema: at most 65536 bytes of JSON"),
        ("schema => (repeat('{\"not\":', 80) || 'true' || repeat('}', 80))::jsonb", "nested more than 63 levels deep"),
        ("sanitize => '[]'", "sanitize: expected paths and profiles"),
        ("sanitize => '{}'", "sanitize: 1 to 100 paths"),
        ('sanitize => \'{"text": "text"}\'', "sanitize: 'text' is no path"),
        ('sanitize => \'{"data.text": "html"}\'', "sanitize: data.text: a profile is text or formatting"),
        ("filters => '{}'", "filters: expected a list of 1 to 20 filters"),
        ('filters => \'[{"words": ["a"]}]\'', "filters: action is reject, mask or flag"),
        ('filters => \'[{"words": [""], "action": "mask"}]\'', "words is a list of texts that are not empty"),
        ('filters => \'[{"patterns": "a", "action": "mask"}]\'', "patterns is a list of texts"),
        ('filters => \'[{"action": "mask"}]\'', "a filter has words or patterns"),
        ('filters => \'[{"word": ["a"], "action": "mask"}]\'', "a filter has words, patterns, fields and action"),
        (
            'filters => \'[{"words": ["a"], "fields": ["text"], "action": "mask"}]\'',
            "fields are paths like data.text",
        ),
        ("spam => '[]'", "spam: expected threshold"),
        ("spam => '{}'", "spam: a threshold is missing"),
        ('spam => \'{"threshold": "5"}\'', "spam: threshold, half_life and points are numbers"),
        ('spam => \'{"threshold": 5, "half_life": 0}\'', "half_life 0.1 to 86400 seconds"),
        ('spam => \'{"threshold": 5, "link": -1}\'', "points are 0 to 1000000"),
        ('spam => \'{"threshold": 5, "action": "drop"}\'', "spam: action is reject or flag"),
        ("enabled => null", "enabled is true or false"),
    ],
)
def test_a_policy_of_a_wrong_shape_is_refused_where_it_is_saved(database: str, values: str, reason: str) -> None:
    column, _, value = values.partition(" => ")
    row = {"name": "'p'", "channel": "'c'", "event": "'*'", "schema": "'{}'", "enabled": "true"} | {column: value}
    with psycopg.connect(database) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute(
            f"insert into realtime.content_policies ({', '.join(row)}) values ({', '.join(row.values())})"
        )
    assert refused.value.sqlstate == "RT007"
    assert reason in str(refused.value)
