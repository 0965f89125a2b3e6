"""The status of a client is whether it has a connection, and why not; which error a close of the server is; its events."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest
from bunbase import ConnectionState, ConnectionStatus, ErrorCode, Realtime, RealtimeError
from bunbase.protocol.codes import CloseCode
from bunbase.protocol.errors import ConnectionEndedError

from server.protocol.close_codes import CloseCode as ServerCloseCode
from server.protocol.close_codes import Reconnect
from tests.support import VECTORS
from tests.support.fakes.server import fake_server
from tests.support.servers.processes import GIVE_UP_AFTER

LOST = RealtimeError(ErrorCode.CONNECTION_FAILED, "it was cut")
REFUSED = RealtimeError(ErrorCode.AUTHENTICATION_FAILED, "the token has expired")
CLOSES: list[dict[str, Any]] = json.loads((VECTORS / "closes.json").read_text())["closes"]
WHEN = {Reconnect.AT_ONCE: "at once", Reconnect.NEVER: "never"}


@pytest.mark.parametrize(
    ("state", "problem", "status"),
    [
        ("closed", None, ("closed", None)),
        ("connecting", None, ("connecting", None)),
        ("connecting", LOST, ("offline", "it was cut")),
        ("connected", None, ("open", None)),
        ("reconnecting", LOST, ("offline", "it was cut")),
        ("failed", LOST, ("failed", "it was cut")),
        ("failed", REFUSED, ("needs-auth", "the token has expired")),
    ],
)
def test_the_status_has_the_words_of_both_sdks(state: Any, problem: RealtimeError | None, status: Any) -> None:
    assert ConnectionStatus.of(state, problem) == ConnectionStatus(*status)


def unreachable(monkeypatch: pytest.MonkeyPatch, failure: ConnectionEndedError, **options: Any) -> Realtime:
    """A client whose attempts fail, and which does not wait between them."""
    realtime = Realtime("http://localhost:8410", transports=("websocket",), **options)

    async def fail(_: object) -> None:
        raise failure

    async def go_on(*_: object) -> None:
        pass

    monkeypatch.setattr(realtime._connection, "_open", fail)
    monkeypatch.setattr(realtime._connection, "_back_off", go_on)
    return realtime


async def statuses_of(realtime: Realtime) -> list[ConnectionStatus]:
    """Those until it has failed for good, with their reasons."""
    seen: list[ConnectionStatus] = []
    states: list[ConnectionState] = []
    realtime.on("status", seen.append)
    realtime.on("state", states.append)
    realtime.on("error", lambda _: None)
    with pytest.raises(RealtimeError):
        await realtime.connect()
    assert realtime.status == seen[-1]
    assert realtime.state == states[-1] == seen[-1].state
    assert states == [state for state, _ in itertools.groupby(each.state for each in seen)]
    return seen


async def test_attempts_that_fail_are_offline_with_the_reason_before_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    realtime = unreachable(monkeypatch, ConnectionEndedError("HTTP 404"), max_reconnect_attempts=3)
    assert realtime.status == ConnectionStatus("closed")
    first, second, last = await statuses_of(realtime)
    assert (first, second) == (ConnectionStatus("connecting"), ConnectionStatus("offline", "HTTP 404"))
    assert last.state == "failed"
    assert "no connection to http://localhost:8410/realtime after 4 attempts: HTTP 404" in str(last.reason)
    await realtime.disconnect()
    assert realtime.status == ConnectionStatus("closed")


async def test_the_state_is_an_event_and_the_next_attempt_has_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    realtime = Realtime("http://localhost:8410", transports=("websocket",), max_reconnect_attempts=1)
    seen: list[object] = []
    realtime.on("state", seen.append)
    realtime.on("error", lambda _: None)
    assert realtime.retry_at is None

    async def fail(_: object) -> None:
        seen.append(realtime.retry_at)
        raise ConnectionEndedError("HTTP 404")

    monkeypatch.setattr(realtime._connection, "_open", fail)
    connecting = asyncio.create_task(realtime.connect())
    async with asyncio.timeout(GIVE_UP_AFTER):
        while realtime.retry_at is None:  # noqa: ASYNC110 - a pause has no event
            await asyncio.sleep(0)
        realtime.reconnect_now()
        with pytest.raises(RealtimeError):
            await connecting
    assert seen == ["connecting", None, "offline", None, "failed"]
    assert realtime.retry_at is None


def test_type_checkers_refuse_a_state_that_there_is_not() -> None:
    realtime = Realtime("http://localhost:8410")
    assert (realtime.state == "closed") is True
    assert (realtime.state == "connected") is False  # type: ignore[comparison-overlap]


async def test_a_token_that_is_refused_is_reported_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = ConnectionEndedError("the token has expired", CloseCode.AUTHENTICATION_FAILED)
    realtime = unreachable(monkeypatch, refusal)
    assert await statuses_of(realtime) == [
        ConnectionStatus("connecting"),
        ConnectionStatus("needs-auth", "the token has expired"),
    ]
    assert realtime.state == "needs-auth"


async def test_a_connection_is_open_until_it_is_closed() -> None:
    async with asyncio.timeout(GIVE_UP_AFTER), fake_server() as server:
        realtime = Realtime(f"http://127.0.0.1:{server.port}", transports=("websocket",))
        seen: list[ConnectionStatus] = []
        realtime.on("status", seen.append)
        async with realtime:
            assert repr(realtime) == f"<Realtime http://127.0.0.1:{server.port}/realtime open over websocket>"
        assert [(each.state, each.reason) for each in seen] == [("connecting", None), ("open", None), ("closed", None)]


def test_the_vector_has_what_the_server_means() -> None:
    given = {each["code"]: (each["error"], each["reconnect"]) for each in CLOSES}
    meant = {
        code.value: (str(code.error.value), WHEN.get(code.reconnect, "later"))
        for code in ServerCloseCode
        if code.error is not None
    }
    assert {code: given[code] for code in meant} == meant
    assert {each for code, each in given.items() if code not in meant} == {(ErrorCode.CONNECTION_FAILED, "later")}


@pytest.mark.parametrize("close", CLOSES, ids=lambda close: str(close["code"]))
async def test_a_close_is_the_error_of_its_code(monkeypatch: pytest.MonkeyPatch, close: dict[str, Any]) -> None:
    realtime = Realtime("http://localhost:8410")
    attempts: list[tuple[bool, float]] = []
    seen: list[RealtimeError] = []
    failed: list[str] = []
    over = asyncio.Event()
    nothing: Any = None

    async def establish(*wait: Any) -> Any:
        attempts.append(wait)
        if len(attempts) > 1:
            over.set()
            await asyncio.Event().wait()
        return nothing, "a link"

    async def serve(_: object) -> ConnectionEndedError:
        realtime._on_state("connected", None)
        return ConnectionEndedError("why", close["code"])

    def failing(error: RealtimeError) -> None:
        failed.append(error.code)
        over.set()

    monkeypatch.setattr(realtime._connection, "_establish", establish)
    monkeypatch.setattr(realtime._connection, "_serve", serve)
    realtime.on("disconnected", seen.append)
    realtime.on("error", failing)
    connecting = asyncio.create_task(realtime.connect())
    async with asyncio.timeout(GIVE_UP_AFTER):
        await over.wait()
    assert [(error.code, error.message.endswith(": why")) for error in seen] == [(close["error"], True)]
    assert failed == ([close["error"]] if close["reconnect"] == "never" else [])
    waits = [waited for waited, _ in attempts[1:]]
    assert waits == {"never": [], "at once": [False], "later": [True]}[close["reconnect"]]
    await realtime.disconnect()
    await asyncio.gather(connecting, return_exceptions=True)


async def test_an_event_that_there_is_not_is_an_error_with_the_one_that_was_meant() -> None:
    realtime = Realtime("http://localhost:8410")
    with pytest.raises(
        ValueError, match=r"no event is named 'disconnect'; did you mean 'disconnected'\? There are connected, "
    ):
        realtime.on("disconnect")
    with pytest.raises(ValueError, match=r"no event is named 'x'\. There are connected, disconnected, "):
        realtime.on("x", print)
    realtime.channel("room").on("disconnect", print)  # the names of messages are free


def test_a_withdrawn_event_still_happens_with_a_warning_that_names_what_to_use() -> None:
    realtime = Realtime("http://localhost:8410")
    seen: list[tuple[str, object]] = []
    text = r"the event 'reconnecting' is withdrawn: use 'state': it is 'offline' then, and status\.reason is why"
    with pytest.warns(DeprecationWarning, match=text) as plain:
        realtime.on("reconnecting", lambda reason: seen.append(("function", reason)))
    with pytest.warns(DeprecationWarning, match=text) as decorated:
        realtime.on("reconnecting")(lambda reason: seen.append(("decorator", reason)))
    warned = [(warning.filename, warning.category) for warning in [*plain, *decorated]]
    assert warned == [(__file__, DeprecationWarning)] * 2, "in the application's line, once each"
    realtime.on("state", lambda state: seen.append((state, realtime.status.reason)))
    realtime._on_state("connected", None)
    realtime._on_state("reconnecting", LOST)
    lost = ("offline", "it was cut")
    assert seen == [("open", None), lost, ("function", LOST), ("decorator", LOST)]
    with pytest.raises(ValueError, match="no event is named 'reconnect'") as refused:
        realtime.on("reconnect", print)
    assert "reconnecting" not in str(refused.value)


def test_a_lost_message_to_the_connection_is_a_gap_of_the_client() -> None:
    realtime, seen = Realtime("ws://127.0.0.1:1/realtime"), list[object]()
    realtime.on("gap", lambda: seen.append("gap"))
    realtime.on("message", lambda message: seen.append(message.data))
    sent = {"type": "message", "channel": "*", "event": "called", "timestamp": "2026-01-25T09:00:00Z", "sender": None}
    for message in ({**sent, "data": 1, "id": "a"}, {"type": "gap", "channel": "*"}, {**sent, "data": 2, "id": "b"}):
        realtime._manager._dispatch({"position": "0/8", **message}, {}, seamless=False, quiet=False)
    assert seen == [1, "gap", 2]
