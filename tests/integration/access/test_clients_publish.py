"""Publishing over REST by clients: a user's token or a publishable key does what a message on its connection would."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx

from tests.support.clients.list_client import read, slot_name, write
from tests.support.clients.transports import transport_client
from tests.support.ports import free_port
from tests.support.servers.processes import GIVE_UP_AFTER, serving
from tests.support.servers.rest_api import problem
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, token

ISSUERS = [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET, "attribute_claims": ["team"]}]
JSON = {"Content-Type": "application/json"}
STORED = "select channel, event, payload, sender, id from realtime.messages order by seq"
OF_TEAM = "channel.id == 'team-' + auth.claims.team && request.transport == 'rest'"
RULES = {"private:team-*": {"subscribe": True, "publish": OF_TEAM}, "quiet:*": {"publish": False}}
POLICY = """insert into realtime.content_policies (name, channel, schema, filters) values
  ('short', 'chat:*', '{"type": "string", "maxLength": 5}', '[{"words": ["darn"], "action": "mask"}]')"""


def literal(value: object) -> str:
    return "'" + json.dumps(value).replace("'", "''") + "'"


def bearer(**claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(**claims)}"}


async def publish(
    http: httpx.AsyncClient, channel: str, data: object = 1, headers: dict[str, str] | None = None, **fields: object
) -> httpx.Response:
    return await http.post(
        f"/channels/{channel}/broadcast", json={"event": "e", "data": data, **fields}, headers=headers
    )


async def test_a_client_publishes_over_rest_what_it_may_publish_on_a_connection(database: str) -> None:
    [(key,)] = read(database, "select realtime.create_api_key('web', 'publishable')")
    for channel, rules in RULES.items():
        write(database, f"select realtime.set_rules({literal({'channel': channel, 'rules': rules})})")
    write(database, POLICY)
    options: dict[str, Any] = {"auth_issuers": ISSUERS, "max_message_size": 4096}
    async with (
        asyncio.timeout(4 * GIVE_UP_AFTER),
        serving(database, free_port(), slot_name=slot_name(), ephemeral=True, **options) as server,
        httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER) as http,
        transport_client(server.url, "websocket", token=token(sub="bob")) as bob,
    ):
        anonymous, ada = {"apikey": key}, bearer(sub="ada", team="red")
        await bob.join("public:news")

        # the sender is the client, and subscribers receive the message
        done = await publish(http, "public:news", {"n": 1}, ada, id="first")
        assert (done.status_code, done.json()) == (201, {"channel": "public:news", "id": "first"})
        received = await bob.receive("message")
        assert (received["sender"], received["data"], received["id"]) == ("ada", {"n": 1}, "first")
        assert (await publish(http, "public:news", {"n": 1}, ada, id="first")).status_code == 201, "repeated"
        assert (await publish(http, "public:news", 2, anonymous)).status_code == 201
        assert (await bob.receive("message"))["sender"] is None
        assert (await publish(http, "private:user-ada", 3, {**ada, **anonymous})).status_code == 201
        assert (await publish(http, "private:team-red", 4, ada)).status_code == 201
        assert [row[:4] for row in read(database, STORED)] == [
            ("public:news", "e", {"n": 1}, "ada"),
            ("public:news", "e", 2, None),
            ("private:user-ada", "e", 3, "ada"),
            ("private:team-red", "e", 4, "ada"),
        ]

        # rights
        for channel, headers in (
            ("private:user-bob", ada),
            ("private:user-ada", anonymous),
            ("private:team-blue", ada),
            ("quiet:1", ada),
            ("quiet:1", anonymous),
            ("db:collection:notes", ada),
        ):
            problem(await publish(http, channel, 1, headers), 403, "RT_003")
        problem(await publish(http, "db:other", 1, ada), 404, "RT_004")
        for field, value in (("sender", "eve"), ("audience", {"users": ["bob"]}), ("priority", 5)):
            detail = problem(await publish(http, "public:news", 1, ada, **{field: value}), 403, "RT_003")
            assert detail.startswith(f"{field}: only servers")

        # what is published
        detail = problem(await publish(http, "chat:1", "too long", ada), 400, "RT_007")
        assert detail == "data: the value is longer than 5 characters (content policy 'short')"
        assert (await publish(http, "chat:1", "darn", ada)).status_code == 201
        assert read(database, "select payload from realtime.messages where channel = 'chat:1'") == [("****",)]
        problem(await publish(http, "public:news", "x" * 5000, ada), 413, "RT_005")
        deep: Any = 1
        for _ in range(80):
            deep = [deep]
        problem(await publish(http, "public:news", deep, ada), 400, "RT_007")
        wrong = await http.post("/channels/public:news/broadcast", content=b'{"data":1}', headers={**ada, **JSON})
        problem(wrong, 400, "RT_007")

        # a page of any origin that may connect can read the answer
        page = {"Origin": "https://app.example"}
        assert (await publish(http, "public:news", 5, {**ada, **page})).headers["access-control-allow-origin"] == "*"
        asked = {**page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        assert (await http.options("/channels/public:news/broadcast", headers=asked)).status_code == 200
        assert (await http.options("/channels/public:news/kick", headers=asked)).status_code == 405

        await bob.leave()


async def test_pages_of_other_origins_publish_nothing_and_read_no_answer(database: str) -> None:
    options: dict[str, Any] = {
        "auth_issuers": ISSUERS,
        "allowed_origins": ["https://app.example"],
        "max_message_rate": 1,
        "max_published_bytes": 1,
        "max_message_size": 4000,
    }
    async with (
        asyncio.timeout(4 * GIVE_UP_AFTER),
        serving(database, free_port(), slot_name=slot_name(), ephemeral=True, **options) as server,
        httpx.AsyncClient(base_url=f"{server.url}/realtime", timeout=GIVE_UP_AFTER) as http,
    ):
        for origin in ("https://evil.example", "null", "http://localhost:8000"):
            for headers in (bearer(), {}):  # {}: as a server of this machine, which a page is not
                answer = await publish(http, "public:news", 1, {**headers, "Origin": origin})
                problem(answer, 403, "RT_003")
                assert "access-control-allow-origin" not in answer.headers
        allowed = await publish(http, "public:news", 1, {**bearer(), "Origin": "https://app.example"})
        assert allowed.status_code == 201
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        problem(await publish(http, "public:news", 1, {"Origin": "https://app.example"}), 403, "RT_003")
        assert read(database, "select count(*) from realtime.messages") == [(1,)]

        # a token is never taken for nothing, although this machine needs no key
        assert (await http.get("/connections")).status_code == 200
        problem(await http.get("/connections", headers=bearer()), 403, "RT_003")
        problem(await http.get("/connections", headers=bearer(aud="billing")), 401, "RT_002")
        problem(await http.get("/connections", headers={"Authorization": "Bearer nonsense"}), 401, "RT_002")

        # each user has a limit of its own
        answers = await asyncio.gather(*(publish(http, "public:news", 2, bearer(sub="eve")) for _ in range(100)))
        limited = next(each for each in answers if each.status_code == 429)
        assert (limited.json()["code"], limited.json()["retryAfter"] > 0) == ("RT_006", True)
        assert int(limited.headers["retry-after"]) > 0
        assert (await publish(http, "public:news", 2, bearer(sub="bob"))).status_code == 201

        # and one of bytes, over all its connections and requests
        zoe = bearer(sub="zoe")
        assert (await publish(http, "public:news", "x" * 3000, zoe)).status_code == 201
        refused = await until_refused_for_bytes(http, zoe, "x" * 3000)
        assert (refused["code"], refused["retryAfter"] > 60) == ("RT_006", True)


async def until_refused_for_bytes(http: httpx.AsyncClient, headers: dict[str, str], data: object) -> dict[str, Any]:
    """The refusal of a message that the rate of messages allows."""
    while True:
        answer = await publish(http, "public:news", data, headers)
        assert answer.status_code == 429
        document: dict[str, Any] = answer.json()
        if "bytes of messages" in document["detail"]:
            return document
