"""``Channel[Events, State]`` of the Python SDK: what mypy finds in programs that give a channel its types."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.unit.types_command.checked import SDK, wrong_lines

MANY = 12  # events that a channel can have types of

USE = f"""
import asyncio
from typing import Any, Literal, TypedDict, assert_type

from bunbase import Ack, Channel, Message, Messages, Presence, Realtime, SyncChannel, SyncRealtime, User


class Text(TypedDict):
    text: str


class Typing(TypedDict):
    user: str


class State(TypedDict, total=False):
    color: str


NewMessage = Message[Text, Literal["new-message"]]
Events = tuple[NewMessage, Message[Typing, Literal["typing"]], Message[None, Literal["cleared"]]]
Many = tuple[{", ".join(f'Message[Text, Literal["e{n}"]]' for n in range(MANY - 1))}, Message[Typing, Literal["last"]]]

realtime, sync = Realtime("http://localhost"), SyncRealtime("http://localhost")
room: Channel[Events, State] = realtime.channel("chat:1", presence={{"color": "red"}})
many: Channel[Many] = realtime.channel("chat:2")
sync_room: SyncChannel[Events, State] = sync.channel("chat:1")
sync_many: SyncChannel[Many] = sync.channel("chat:2")
plain = realtime.channel("chat:3")


def text(message: Message[Text]) -> None: ...
async def typing(message: Message[Typing]) -> None: ...
def new(message: NewMessage) -> None: ...
def anything(message: Message) -> None: ...
"""

RIGHT = """
room.on("new-message", text)
room.on("new-message", new)
room.on("new-message", anything)
room.on("typing", typing)
room.on("typing", lambda message: print(message.data["user"]))
room.on("*", anything)
room.on("subscribed", lambda: None)
room.on("presence:join", lambda user: print(user.state["color"]))
room.off("typing", typing)
many.on("e0", text)
many.on("last", typing)
asyncio.run(room.send("typing", {"user": "x"}))
sync_many.send("last", {"user": "ada"})


@room.on("typing")
async def typed(message: Message[Typing]) -> None:
    print(message.data["user"])


@room.on("presence:update")
def seen(user: User[State]) -> None:
    assert_type(user.state, State)


async def use() -> None:
    assert_type(await room.send("new-message", {"text": "Hello"}, id="1"), Ack)
    await room.send("cleared", None)
    await room.update_presence({"color": "blue"})
    await room.update_presence(color="blue")
    assert_type(await room.get_presence(), Presence[State])
    assert_type(room.presence.users[0].state, State)
    async for message in room.messages(buffer=5):
        if message.event == "typing":
            assert_type(message.data, Typing)
    async for typing in room.messages("typing", overflow="drop-oldest"):
        assert_type(typing.data, Typing)
    async for last in many.messages("last"):
        assert_type(last.data, Typing)
    async for each in many.messages():
        if each.event == "last":
            assert_type(each.data, Typing)
    async with room as same:
        same.on("new-message", text)
    await many.subscribe()


assert_type(sync_room.send("typing", {"user": "ada"}, traceparent="00"), Ack)
assert_type(next(sync_room.messages("typing", timeout=1.0)).data, Typing)
for message in sync_room.messages(timeout=1.0):
    if message.event == "new-message":
        assert_type(message.data["text"], str)
for many_message in sync_many.messages():
    if many_message.event == "last":
        assert_type(many_message.data, Typing)
sync_room.update_presence({"color": "blue"})
assert_type(sync_room.get_presence(), Presence[State])


# Without types all is as it was, and what takes a channel takes any.
def of_any(channel: Channel) -> None:
    channel.on("whatever", lambda message: print(message.data.anything))


def of_any_sync(channel: SyncChannel) -> None:
    print(next(channel.messages()).data["x"])


@plain.on("whatever")
def whatever(message: Message) -> None:
    print(message.data["x"])


async def untyped(name: str) -> None:
    await plain.send(name, {"x": 1}, id="7")
    await plain.send(name)
    assert_type(plain.messages(), Messages[Any])
    assert_type(plain.messages(name, Text, buffer=3), Messages[Text])
    await plain.update_presence({"status": "online"}, typing=True)
    print((await plain.get_presence()).users[0].state["x"])


of_any(room)
of_any(plain)
of_any_sync(sync_room)
assert_type(next(sync.channel("x").messages()).data, Any)
"""

WRONG = """
room.on("typing", text)
room.on("new-message", typing)
room.on("typo", typing)
room.on("typing", lambda message: print(message.data["text"]))
room.on("presence:join", lambda user: print(user.state["size"]))
room.on("presence:join", text)
room.on("typing", 3)
many.on("last", text)
many.on("e10", typing)
many.on("e11", text)
room.on("typing")(text)
asyncio.run(room.send("typing", {"text": "x"}))
asyncio.run(room.send("typo", {"user": "x"}))
asyncio.run(room.send("typing"))
asyncio.run(room.send("typing", {"user": "x"}, identity="1"))
asyncio.run(room.send("cleared", {"user": "x"}))
room.messages("typo")
room.messages("typing", size=3)
asyncio.run(room.update_presence({"size": 3}))
sync_room.send("typing", {"text": "x"})
sync_room.send("typo", {"user": "x"})
sync_many.send("last", {"text": "x"})
next(sync_room.messages("typing")).data["text"]
next(sync_room.messages()).data["user"]
sync_room.messages("typo")
sync_room.update_presence({"size": 3})
sync_room.get_presence().users[0].state["size"]
plain.on("whatever", 3)
other: Channel[Many] = room
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[int]]:
    """The lines after ``USE`` that mypy reports."""
    modules = {"right": USE + RIGHT, "wrong": USE + WRONG}
    return wrong_lines(tmp_path_factory.mktemp("channels"), modules, after=len(USE.splitlines()))


def test_what_is_right_passes_with_types_and_without(found: dict[str, set[int]]) -> None:
    assert found["right"] == set()


@pytest.mark.parametrize(("number", "line"), [(n, each) for n, each in enumerate(WRONG.splitlines(), 1) if each])
def test_a_wrong_use_is_an_error(found: dict[str, set[int]], number: int, line: str) -> None:
    assert number in found["wrong"], line


def test_types_change_nothing_when_the_program_runs() -> None:
    program = """
import asyncio, sys
from typing import Literal, get_type_hints
from bunbase import Channel, Message, Presence, Realtime, SyncChannel, SyncRealtime, User
Events = tuple[Message[dict, Literal["a"]], Message[dict]]
async def main() -> None:
    room: Channel[Events, dict] = Realtime("http://localhost").channel("chat:1")
    assert type(room) is Channel and repr(room) == "<Channel 'chat:1' not subscribed>"
def f(a: Channel[Events], b: SyncChannel[Events], c: User[dict], d: Presence[dict]) -> None: ...
get_type_hints(f)
asyncio.run(main())
assert Message[dict, str]("c", "e", {}) == Message("c", "e", {}) and User[dict]("1") == User("1")
assert Presence[dict]((), 0) == Presence((), 0)
assert "typing_extensions" not in sys.modules
"""
    command, environment = [sys.executable, "-c", program], {"PYTHONPATH": str(SDK)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
