"""The judges of what observers saw notice each kind of fault, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.observed.members import MEMBERS, misled
from tests.faults.observed.observer import CONNECTED, Seen
from tests.faults.observed.transient import disorder, doubled, lost
from tests.faults.observed.windows import results, unexplained

LOG: list[tuple[int, dict[str, dict[str, Any]]]] = [
    (1, {"counters": {"1": [1, 10], "2": [0, 20]}, "kinds": {"1": True}}),
    (2, {"counters": {"1": [1, 30]}}),
    (3, {"counters": {"2": None}, "kinds": {"1": False}}),
    (4, {"counters": {"1": [1, 10], "2": [0, 20]}, "kinds": {"1": True}}),
]
NOTHING = ()
FIRST = ((2, 0, 20), (1, 1, 10))
SECOND = ((1, 1, 30), (2, 0, 20))
THIRD = ((1, 1, 30),)


def test_the_result_of_each_window_at_each_commit_follows_from_the_log() -> None:
    found = results(LOG)
    assert found["top"] == {NOTHING: [0], FIRST: [1, 4], SECOND: [2], THIRD: [3]}
    assert found["kind"] == {NOTHING: [0], ((1, 10),): [1, 4], ((1, 30),): [2, 3]}
    assert found["sums"] == {
        NOTHING: [0],
        ((0, 1, 20), (1, 1, 10)): [1, 4],
        ((0, 1, 20), (1, 1, 30)): [2],
        ((1, 1, 30),): [3],
    }
    assert found["open"] == {NOTHING: [0, 3], ((1, 1, 10),): [1, 4], ((1, 1, 30),): [2]}


@pytest.mark.parametrize(
    ("states", "wrong"),
    [
        ([NOTHING, FIRST, SECOND, THIRD, FIRST], None),
        ([SECOND, FIRST], None),
        ([FIRST, FIRST, THIRD], None),
        ([FIRST, SECOND, NOTHING], (2, "state 2 of 3 is the result until commit 0, shown after one of 2")),
        ([THIRD, SECOND], (1, "state 1 of 2 is the result until commit 2, shown after one of 3")),
        ([FIRST, SECOND, FIRST, SECOND], (3, "state 3 of 4 is the result until commit 2")),
        ([FIRST, ((2, 0, 20), (1, 1, 30))], (1, "state 1 of 2 is never a result")),  # half of a transaction
    ],
)
def test_a_list_that_is_no_result_or_goes_back_is_noticed(states: list[Any], wrong: tuple[int, str] | None) -> None:
    found = unexplained(states, results(LOG)["top"])
    if wrong is None:
        assert found is None
    else:
        assert found is not None
        assert found[0] == wrong[0]
        assert found[1].startswith(wrong[1])


def history(*entries: str | int, of: str = "s", sender: str = "sql") -> list[Seen]:
    """Numbers are messages, texts are marks; a second passes between two."""
    return [
        Seen(at, "message", of, (sender, each)) if isinstance(each, int) else Seen(at, each, "", None)
        for at, each in enumerate(entries, 1000)
    ]


def test_what_comes_twice_is_noticed() -> None:
    assert doubled(history(1, 2, 1), "s") == [("sql", 1)]
    assert doubled(history(1, 2), "s") == []
    assert doubled(history(1, 1), "another") == []


@pytest.mark.parametrize(
    ("entries", "breaks", "unexplained", "excused"),
    [
        ((1, 2, 3, 4), [], [], 0),
        ((1, 2, 4), [], [3], 0),
        ((1, 2, 3), [], [4], 0),
        ((2, 3, 4), [], [1], 0),
        ((1, 2, CONNECTED, 4), [], [], 1),
        ((CONNECTED, 1, 2, 4), [], [3], 0),
        ((1, 2, 4, CONNECTED), [], [], 1),
        ((1, 2, 4, 5, 6, 7, 8, 9, CONNECTED), [], [3], 0),
        ((1, "gap", 3, 4), [], [], 1),
        ((1, 2, 4), [1003.0], [], 1),
        ((1, 2, 4), [1020.0], [3], 0),
        ((1, 2, 4), [980.0], [], 1),
        ((1, 2, 4), [900.0], [3], 0),
        ((1, 2, 3), [1030.0], [], 1),
        ((), [], [1, 2, 3, 4], 0),
    ],
)
def test_what_is_lacking_without_a_reason_is_noticed(
    entries: tuple[str | int, ...], breaks: list[float], unexplained: list[int], excused: int
) -> None:
    assert lost(history(*entries), "s", "sql", [1, 2, 3, 4], breaks) == (unexplained, excused)


def test_messages_of_others_are_no_reason_and_no_place() -> None:
    seen = [*history(1), *history(2, sender="ada"), *history(3)]
    assert lost(seen, "s", "sql", [1, 2, 3], []) == ([2], 0)


def test_clients_that_differ_in_the_order_are_noticed() -> None:
    ada, bob = history(1, sender="ada"), history(1, sender="bob")
    assert disorder({"x": [*ada, *bob], "y": [*ada, *bob]}, "s") == ""
    assert disorder({"x": [*ada, *bob], "y": bob}, "s") == ""
    assert disorder({"x": [*ada, *bob], "y": [*bob, *ada]}, "s").startswith("no order")
    assert disorder({"x": [*ada, *bob], "y": [*bob, *ada]}, "s", {("ada", 1)}) == ""
    assert disorder({"x": history(1, 2), "y": history(2, 1)}, "s") == "y: 1 of sql came after 2"


def presence(*entries: tuple[str, Any]) -> list[Seen]:
    return [Seen(0.0, kind, MEMBERS, value) for kind, value in entries]


@pytest.mark.parametrize(
    ("entries", "wrong"),
    [
        ([("here", ["ada"]), ("join", "bob"), ("leave", "ada"), ("join", "ada"), ("update", "bob")], ""),
        ([("here", ["ada"]), ("here", []), ("join", "ada")], ""),
        ([("here", ["ada"]), ("join", "ada")], "ada came twice"),
        ([("here", []), ("join", "ada"), ("join", "ada")], "ada came twice"),
        ([("here", []), ("leave", "ada")], "ada left without having come"),
        ([("here", ["ada"]), ("leave", "ada"), ("leave", "ada")], "ada left without having come"),
        ([("here", []), ("update", "ada")], "ada changed without having come"),
    ],
)
def test_presence_events_that_do_not_follow_from_one_another_are_noticed(
    entries: list[tuple[str, Any]], wrong: str
) -> None:
    found = misled(presence(*entries))
    assert found.startswith(wrong)
    assert bool(found) == bool(wrong)
