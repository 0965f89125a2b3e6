"""Behaviour that both SDKs share, from vectors that both run (``sdk/js/test/vectors.test.ts``)."""

from __future__ import annotations

import itertools
import json
from typing import Any

from bunbase import Doc
from bunbase.core.lists import difference
from bunbase.core.position import is_later
from bunbase.core.presence import PresenceState

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


def test_differences_of_lists_are_those_of_the_vectors() -> None:
    for case in vectors("differences")["cases"]:
        old, new = ([Doc(id.lower(), {"id": id}) for id in case[name]] for name in ("old", "new"))
        changes = [[each.type, each.doc.id, each.old_index, each.new_index] for each in difference(old, new)]
        assert changes == case["changes"], case
