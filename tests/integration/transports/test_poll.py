"""Long polling: waiting, lost answers, repeated batches, two requests at once, sessions that end."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.support.clients.list_client import write
from tests.support.clients.transports import PollingClient, transport_client
from tests.support.clients.users import rest_client, running_server
from tests.support.servers.processes import GIVE_UP_AFTER


async def ask(http: httpx.AsyncClient, **body: object) -> dict[str, Any]:
    answer = await http.post("/poll", json=body)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


async def joined(http: httpx.AsyncClient) -> tuple[str, int]:
    """A session that has subscribed to chat:1, and its cursor."""
    first = await ask(http, messages=[{"type": "subscribe", "channel": "chat:1"}])
    assert (first["cursor"], [message["type"] for message in first["messages"]]) == (1, ["connected"])
    then = await ask(http, session=first["session"], cursor=1)
    assert [message["type"] for message in then["messages"]] == ["subscribed"]
    return first["session"], then["cursor"]


async def test_an_answer_that_was_lost_is_given_again_with_what_is_new(database: str) -> None:
    async with running_server(database) as server, rest_client(server) as http:
        session, cursor = await joined(http)
        write(database, "select realtime.broadcast('chat:1', 'e', '1')")
        lost = await ask(http, session=session, cursor=cursor)
        write(database, "select realtime.broadcast('chat:1', 'e', '2')")
        received = lost["messages"]
        while len(received) < 2:
            again = await ask(http, session=session, cursor=cursor, timeout=0)
            received = again["messages"]
        assert [message["data"] for message in received] == [1, 2]
        assert again["cursor"] > lost["cursor"] > cursor
        others = await ask(http, session=session, cursor=lost["cursor"], timeout=0)
        assert [message["data"] for message in others["messages"]] == [2]
        assert (await ask(http, session=session, cursor=again["cursor"], timeout=0))["messages"] == []


async def test_a_high_message_overtakes_what_waits_and_nothing_that_was_given(database: str) -> None:
    async with running_server(database) as server, rest_client(server) as http:
        session, cursor = await joined(http)
        second = {"type": "subscribe", "channel": "chat:2"}
        assert (await http.post("/send", json={"session": session, "messages": [second]})).status_code == 202
        cursor = (await ask(http, session=session, cursor=cursor))["cursor"]
        broadcast = "realtime.broadcast('chat:{}', 'e', '{}', priority => {})"
        write(database, "select " + ", ".join(broadcast.format(*each) for each in ((1, 1, 0), (1, 2, 0), (2, 3, 5))))
        lost = await ask(http, session=session, cursor=cursor)
        assert [message["data"] for message in lost["messages"]] == [3, 1, 2]
        write(database, "select " + broadcast.format(2, 4, 9))
        received = lost
        while len(received["messages"]) < 4:
            received = await ask(http, session=session, cursor=cursor, timeout=0)
        assert [message["data"] for message in received["messages"]] == [3, 1, 2, 4]


async def test_a_missing_batch_is_noticed_whether_or_not_the_next_one_has_messages(database: str) -> None:
    async with running_server(database) as server, rest_client(server) as http:
        session, cursor = await joined(http)
        for messages in ([], [{"type": "ping"}]):
            body = {"session": session, "cursor": cursor, "timeout": 0, "seq": 3, "messages": messages}
            assert (await http.post("/poll", json=body)).status_code == 409
        assert (await http.post("/poll", json={"seq": 2, "messages": []})).status_code == 409
        assert (await ask(http, session=session, cursor=cursor, timeout=0, seq=1))["cursor"] == cursor


async def test_a_poll_waits_no_longer_than_its_timeout(database: str) -> None:
    async with running_server(database) as server, rest_client(server) as http:
        session, cursor = await joined(http)
        assert await ask(http, session=session, cursor=cursor, timeout=50) == {"cursor": cursor, "messages": []}


async def test_a_second_poll_lets_the_first_go_with_nothing(database: str) -> None:
    async with running_server(database) as server, rest_client(server) as http:
        session, cursor = await joined(http)
        polls = [asyncio.create_task(ask(http, session=session, cursor=cursor)) for _ in range(3)]
        done, waiting = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED, timeout=GIVE_UP_AFTER)
        while len(waiting) > 1:
            done, waiting = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED, timeout=GIVE_UP_AFTER)
        assert [poll.result() for poll in done] == [{"cursor": cursor, "messages": []}] * 2
        write(database, "select realtime.broadcast('chat:1', 'e', '1')")
        assert [message["data"] for message in (await waiting.pop())["messages"]] == [1]


async def test_a_batch_that_is_repeated_is_carried_out_once(database: str) -> None:
    async with running_server(database) as server, rest_client(server) as http:
        session, cursor = await joined(http)
        message = {"type": "message", "channel": "chat:1", "event": "e", "data": 1}
        for _ in range(3):
            await ask(http, session=session, cursor=cursor, timeout=0, seq=1, messages=[message])
        await ask(http, session=session, cursor=cursor, timeout=0, seq=2, messages=[message | {"data": 2}])
        received: list[dict[str, Any]] = []
        while (
            sum(each["type"] == "message" for each in received) < 2
            or sum(each["type"] == "ack" for each in received) < 2
        ):
            answer = await ask(http, session=session, cursor=cursor)
            received, cursor = received + answer["messages"], answer["cursor"]
        assert [each["data"] for each in received if each["type"] == "message"] == [1, 2]


async def test_an_answer_holds_a_quarter_of_a_megabyte_and_the_next_one_the_rest(database: str) -> None:
    async with running_server(database) as server, rest_client(server) as http:
        session, cursor = await joined(http)
        write(
            database,
            "select realtime.broadcast('chat:1', 'e', to_jsonb(n || repeat('x', 100000))) from generate_series(1, 8) n",
        )
        received: list[int] = []
        while len(received) < 8:
            answer = await http.post("/poll", json={"session": session, "cursor": cursor})
            assert len(answer.content) < 300_000
            cursor = answer.json()["cursor"]
            received += [int(message["data"].rstrip("x")) for message in answer.json()["messages"]]
        assert received == list(range(1, 9))


async def test_a_poller_that_does_not_return_is_disconnected(database: str) -> None:
    write(database, "select realtime.create_channel('chat:1', presence_timeout => '0 s')")
    async with (
        running_server(database, session_timeout=2) as server,
        rest_client(server) as http,
        transport_client(server.url, "websocket", user="bob") as bob,
    ):
        await bob.join(presence=True)
        opened = await http.post(
            "/poll?user=ada", json={"messages": [{"type": "subscribe", "channel": "chat:1", "presence": True}]}
        )
        assert (await bob.receive("presence:join"))["user"]["id"] == "ada"
        assert (await bob.receive("presence:leave"))["user"]["id"] == "ada"
        late = await http.post("/poll", json={"session": opened.json()["session"], "cursor": 1})
        assert (late.status_code, late.json()["code"]) == (404, "RT_001")
        assert (await server.health())[1]["connections"] == 1


async def test_a_client_that_hangs_up_while_it_waits_counts_as_away(database: str) -> None:
    async with running_server(database, session_timeout=2) as server, rest_client(server) as http:
        session, cursor = await joined(http)
        body = {"session": session, "cursor": cursor, "timeout": 30_000}
        with pytest.raises(httpx.ReadTimeout):
            await http.post("/poll", json=body, timeout=httpx.Timeout(GIVE_UP_AFTER, read=0.5))
        await server.connections(0)


async def test_a_waiting_poll_keeps_the_session(database: str) -> None:
    async with running_server(database, session_timeout=2) as server, rest_client(server) as http:
        session, cursor = await joined(http)
        assert (await ask(http, session=session, cursor=cursor, timeout=2_500))["messages"] == []
        assert (await ask(http, session=session, cursor=cursor, timeout=0))["messages"] == []


async def test_a_session_that_was_ended_is_unknown(database: str) -> None:
    async with running_server(database) as server, rest_client(server) as http:
        session, cursor = await joined(http)
        waiting = asyncio.create_task(ask(http, session=session, cursor=cursor))
        await asyncio.sleep(0)
        ended = await http.request("DELETE", "/session", json={"session": session})
        assert ended.status_code == 204
        last = await waiting
        assert [(message["type"], message["code"]) for message in last["messages"]] == [("close", 1000)]
        late = await http.post("/poll", json={"session": session, "cursor": last["cursor"]})
        assert late.status_code == 404


async def test_a_slow_poller_is_closed_with_the_code_to_resume(database: str) -> None:
    async with (
        running_server(database, max_buffer_size=65_536, max_backlog=262_144) as server,
        transport_client(server.url, "poll") as ada,
        transport_client(server.url, "websocket") as quick,
    ):
        assert isinstance(ada, PollingClient)
        await ada.join()
        await quick.join()
        for n in range(1, 101):
            write(database, f"select realtime.broadcast('chat:1', 'e', to_jsonb({n} || repeat('x', 5000)))")
            await quick.receive("message")
        received = 0
        while (message := await ada.receive())["type"] == "message":
            received += 1
            assert int(message["data"].rstrip("x")) == received
        assert (message["type"], message["code"], message["reason"]) == ("close", 4008, "resume")
        assert 262_144 // 5200 < received < 100


@pytest.mark.parametrize(
    "body",
    [
        {"cursor": 99},
        {"cursor": -1},
        {},
        {"cursor": 1, "timeout": -5},
        {"cursor": 1, "colour": "red"},
        {"cursor": 1, "messages": {}},
    ],
)
async def test_a_poll_that_cannot_be_is_refused(database: str, body: dict[str, object]) -> None:
    async with running_server(database) as server, rest_client(server) as http:
        session, _ = await joined(http)
        refused = await http.post("/poll", json={"session": session} | body)
        assert (refused.status_code, refused.json()["code"]) == (400, "RT_007")
        stream = await http.post("/poll", json={"session": "nobody", "cursor": 1})
        assert stream.status_code == 404
