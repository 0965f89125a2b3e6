"""What the rules decide, and why, over REST: as the server that is asked decides."""

from __future__ import annotations

from typing import Any

import httpx

from tests.support.clients.list_client import read, write
from tests.support.clients.users import rest_client, running_server
from tests.support.servers.rest_api import problem

MEMBERS = "auth.uid != null && data.members.includes(auth.uid)"
ROOMS = f'{{"channel": "private:room-*", "rules": {{"subscribe": "{MEMBERS}", "presence": true}}}}'
SAVED = (
    f"select realtime.set_rules('{ROOMS}')",
    """select realtime.create_channel('private:room-1', '{"members": ["ann"]}')""",
)
CROWD = """update realtime.channels
set metadata = jsonb_build_object('members', array['ann'] || array_fill('x'::text, '{20000}'))"""


async def test_a_server_can_ask_what_the_rules_decide_and_why(database: str) -> None:
    keys = {
        kind: read(database, f"select realtime.create_api_key('k', '{kind}', {scopes})")[0][0]
        for kind, scopes in {"secret": "'{channels}'", "publishable": "null"}.items()
    }
    async with running_server(database, require_api_key=True) as server, rest_client(server) as http:

        async def test(key: str = "secret", **body: Any) -> httpx.Response:
            return await http.post("/rules/test", json=body, headers={"apikey": keys[key]})

        for statement in SAVED:
            write(database, statement)
        room = {"action": "subscribe", "channel": "private:room-1"}
        answer = await test(**room, userId="ann")
        assert answer.json() == {
            "allowed": True,
            "decidedBy": "private:room-*",
            "condition": MEMBERS,
            "reason": None,
            "parts": [
                {"text": "auth.uid != null", "value": "true"},
                {"text": "data.members.includes(auth.uid)", "value": "true"},
            ],
        }, "as of what is committed when it is asked"
        bob = (await test(**room, userId="bob")).json()
        assert (bob["allowed"], [part["value"] for part in bob["parts"]]) == (False, ["true", "false"])
        failing = (await test(action="subscribe", channel="private:room-2", userId="ann")).json()
        assert (failing["allowed"], failing["reason"]) == (False, "there is no field 'members'")
        presence = (await test(action="presence", channel="private:room-1")).json()
        assert (presence["allowed"], presence["condition"], presence["parts"]) == (True, True, [])
        kind = (await test(action="publish", channel="private:room-1", userId="ann")).json()
        assert (kind["allowed"], kind["decidedBy"], "private:user-ID" in kind["reason"]) == (False, None, True)
        own = (await test(action="publish", channel="private:user-ann", userId="ann")).json()
        assert (own["allowed"], own["decidedBy"]) == (True, None)
        live = (await test(action="publish", channel="db:collection:notes")).json()
        assert (live["allowed"], "live query" in live["reason"]) == (False, True)

        write(database, CROWD)
        huge = (await test(**room, userId="ann")).json()
        assert (huge["allowed"], huge["parts"], "data has 20" in huge["reason"]) == (False, [], True)

        problem(await test(action="read", channel="c"), 400, "RT_007")
        problem(await test("publishable", **room), 403, "RT_003")
        problem(await http.post("/rules/test", json=room), 401, "RT_002")
