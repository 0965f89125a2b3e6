"""Behaviour that both SDKs share, from vectors that both run (``sdk/js/test/vectors.test.ts``)."""

from __future__ import annotations

import itertools
import json
import math
from functools import partial
from typing import Any

import pytest
from bunbase import Doc
from bunbase.core.backoff import full_jitter
from bunbase.core.channel_state import ChannelOptions, ChannelState
from bunbase.core.cursor import cursor
from bunbase.core.lists import difference, take
from bunbase.core.pacing import Pacer
from bunbase.core.position import is_later
from bunbase.core.presence import PresenceState
from bunbase.core.send_queue import SendQueue
from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.errors import RealtimeError

from tests.support import VECTORS


def vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


def test_positions_are_ordered_as_in_the_vectors() -> None:
    for before, after in itertools.pairwise(vectors("positions")["ascending"]):
        assert is_later(after, before), (before, after)
        assert not is_later(before, after), (before, after)
        assert not is_later(before, before)


def test_presence_events_are_those_of_the_vectors() -> None:
    given, state = vectors("presence"), PresenceState()
    for step in given["steps"]:
        if "replace" in step:
            events = state.replace({"users": step["replace"]}, first=False)
        else:
            events = state.receive({"type": f"presence:{step['receive']}", "user": step["user"]})
        assert [f"{event.removeprefix('presence:')} {user.id}" for event, user in events] == step["events"], step
    assert [user.id for user in state.current.users] == given["present"]


def test_cursors_are_those_of_the_vectors() -> None:
    for case in vectors("cursors")["cases"]:
        at = case["values"] if "values" in case else [Doc(case["doc"]["id"], case["doc"]["data"])]
        if "missing" not in case:
            assert cursor(at, case["orderBy"]) == case["cursor"], case
            continue
        with pytest.raises(RealtimeError, match=f" {case['missing']} ") as refused:
            cursor(at, case["orderBy"])
        assert refused.value.code == ErrorCode.INVALID_MESSAGE, case


def test_waits_before_new_attempts_are_those_of_the_vectors() -> None:
    for case in vectors("backoff")["cases"]:

        def chosen(low: float, high: float, share: float = case["share"]) -> float:
            return low + share * (high - low)

        assert full_jitter(case["attempt"], case["base"], case["cap"], chosen) == case["wait"], case


def test_differences_of_lists_are_those_of_the_vectors() -> None:
    for case in vectors("differences")["cases"]:
        old, new = ([Doc(id.lower(), {"id": id}) for id in case[name]] for name in ("old", "new"))
        changes = [[each.type, each.doc.id, each.old_index, each.new_index] for each in difference(old, new)]
        assert changes == case["changes"], case


def test_waits_between_messages_are_those_of_the_vectors() -> None:
    for case in vectors("pacing")["cases"]:
        pacer = Pacer(case["rate"])
        for step in case["steps"]:
            now = step["at"] / 1000
            for _ in range(step.get("count", 1)):
                match step.get("do"):
                    case "send":
                        pacer.sent(now)
                    case "answer":
                        pacer.answered()
                    case "block":
                        pacer.block(step["until"] / 1000)
            wait = pacer.wait(now)
            found = "answer" if math.isinf(wait) else math.ceil(round(wait * 1000, 6))
            assert found == step["wait"], (case["name"], step)


class Sending:
    """A send queue by the names of its messages."""

    def __init__(self, limit: int) -> None:
        self.queue = SendQueue(limit)
        self.given: dict[str, dict[str, Any]] = {}
        self.refs: dict[str, str] = {}
        self.answers: dict[str, str] = {}

    def step(self, step: dict[str, Any]) -> None:
        match step:
            case {"add": name}:
                self.given[name] = {"name": name}
                self._add(name, online=not step.get("offline"))
            case {"change": name}:
                self.given[name]["name"] += " changed"
            case {"next": expected}:
                entry = self.queue.next()
                assert (None if entry is None else entry.message["data"]["name"]) == expected
                if entry is not None:
                    self.refs[expected] = entry.message["ref"]
            case {"ack": name}:
                self.queue.answered(self.refs[name], {"type": "ack"})
            case {"reject": name}:
                self.queue.answered(self.refs[name], RealtimeError(ErrorCode.INVALID_MESSAGE, "no"))
            case {"limit": name}:
                self.queue.refused(self.refs[name])
            case {"restart": True}:
                self.queue.restart()
            case {"fail": True}:
                self.queue.fail(RealtimeError(ErrorCode.CONNECTION_FAILED, "given up"))
            case _:
                raise AssertionError(step)

    def _add(self, name: str, *, online: bool) -> None:
        message = {"type": "message", "channel": "c", "data": self.given[name]}
        done = partial(self._answered, name)
        try:
            self.queue.add(message, done, online=online)
        except RealtimeError as error:
            done(error)

    def _answered(self, name: str, answer: dict[str, Any] | RealtimeError) -> None:
        assert name not in self.answers
        self.answers[name] = answer.code if isinstance(answer, RealtimeError) else "ack"


def test_messages_go_out_as_in_the_vectors() -> None:
    for case in vectors("send_queue")["cases"]:
        sending = Sending(case["limit"])
        for number, step in enumerate(case["steps"]):
            try:
                sending.step(step)
            except AssertionError as wrong:
                raise AssertionError(f"{case['name']}: step {number}, {step}") from wrong
        assert sending.answers == case["answers"], case["name"]


def test_messages_of_a_channel_are_delivered_as_in_the_vectors() -> None:
    for case in vectors("messages")["cases"]:
        state = ChannelState("room", ChannelOptions(history=case.get("history", 0)))
        for step in case["steps"]:
            where = (case["name"], step)
            if "subscribed" in step:
                request = {name: value for name, value in state.request().items() if name not in ("type", "channel")}
                assert request == step["request"], where
                events = state.subscribed({"type": "subscribed", **step["subscribed"]})
                assert [kind for kind, _ in events] == ["gap"] * step.get("gap", False), where
            else:
                id, position, *by = step["message"]
                message = {
                    "type": "message",
                    "channel": "room",
                    "event": "n",
                    "data": 1,
                    "id": id,
                    "position": position,
                }
                events = state.receive(
                    {
                        **message,
                        "sender": by[0] if by else None,
                        **({"server": True} if by[1:] == [True] else {}),
                        "timestamp": "2026-01-01T00:00:00Z",
                    }
                )
                assert bool(events) is step["delivered"], where


def test_deltas_give_the_lists_and_documents_of_the_vectors() -> None:
    given = vectors("deltas")
    for case in given["cases"]:
        docs = [Doc(*row) for row in given["list"]]
        if case["after"] is None:
            with pytest.raises(ValueError, match="is not at index"):
                take(docs, case["changes"])
            continue
        changes = take(docs, case["changes"])
        assert [[each.type, each.doc.data] for each in changes] == case["given"], case["name"]
        assert [[doc.id, doc.data] for doc in docs] == case["after"], case["name"]
