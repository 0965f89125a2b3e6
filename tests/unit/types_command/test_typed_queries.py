"""The queries of ``realtime types --py``: wrong fields, operators and values are errors of mypy, right ones are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.values.pg_types import TypeInfo
from server.cli.types.python import python
from server.cli.types.shapes import ArrayOf, Collection, Field, OfType, Plain, Written
from tests.unit.types_command.checked import SDK, wrong_lines

PRIORITY = TypeInfo(20_000, "public.priority", "enum", labels=("low", "high"))
PLACE = TypeInfo(20_001, "public.place", "composite", fields=(("x", TypeInfo(23, "integer", "base")),))
ID, TITLE = Field("id", Plain.INTEGER, False), Field("title", Plain.STRING, False)
TODOS = (
    ID, TITLE, Field("score", Plain.NUMBER, True), Field("done", Plain.BOOLEAN, False),
    Field("priority", OfType(PRIORITY), False), Field("tags", ArrayOf(Plain.STRING), True),
    Field("marks", ArrayOf(Plain.INTEGER), True), Field("at", OfType(PLACE), True),
    Field("details", Plain.JSON, True), Field("form", Written({"py": "dict[str, str]"}, Plain.JSON), False),
    Field("kind", Written({"py": 'Literal["a", "b"]'}, Plain.STRING), False), Field("two words", Plain.STRING, True),
)  # fmt: skip
# Names that those of the module could meet.
COLLECTIONS = [
    Collection("query", "public.query", (ID,)), Collection("rooms", "public.rooms", (ID, TITLE)),
    Collection("todos", "public.todos", TODOS), Collection("todos_query", "public.todos_query", (ID,)),
    Collection("typed_database", "public.typed_database", (ID,)),
]  # fmt: skip

USE = """
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypedDict, assert_type

from app import Rooms, SyncTodosQuery, SyncTypedDatabase, Todos, TodosField, TodosQuery2, TypedDatabase2
from bunbase import Count, Query, Realtime, Snapshot, SyncRealtime


class TodoTitle(TypedDict):
    id: int
    title: str


db = Realtime("http://localhost").database(TypedDatabase2)
todos = db.collection("todos")
sync_todos = SyncRealtime("http://localhost").database(SyncTypedDatabase).collection("todos")
"""

RIGHT = """
assert_type(todos, TodosQuery2[Todos])
assert_type(sync_todos, SyncTodosQuery[Todos])
assert_type(todos.where("title", "==", "x").order_by("id", "desc", "nulls-last").limit(3).doc(7), TodosQuery2[Todos])
todos.where("title", "like", "a%").where("priority", "ilike", "L%").where("kind", "==", "a").where("two words", "!=", "")
todos.where("id", ">", 3).where("id", "in", [1, 2]).where("id", "<=", Decimal("9" * 30)).where("score", "<", 1.5)
todos.where("score", "!=", "NaN").where("done", "==", True).where("done", "not-in", (True,))
todos.where("priority", "in", ["low", "high"]).where("priority", "in", ("low",)).where("title", "in", ("a", "b"))
todos.where("tags", "array-contains", "a").where("tags", "array-contains-any", ["a"]).where("tags", "==", ["a", "b"])
todos.where("marks", "array-contains", 3).where("at", "==", {"x": 1}).where("at", "is-null").where("done", "is-not-null")
todos.where("details", "array-contains", {"a": 1}).where("details", "==", 7).where("form", "!=", {"by": "ada"})
todos.where({"or": [["title", "==", "x"], ["id", ">", 3]]})
assert_type(todos.select("title", "two words"), TodosQuery2[Mapping[str, Any]])
assert_type(todos.select("title", document=TodoTitle).where("priority", "==", "low"), TodosQuery2[TodoTitle])
assert_type(sync_todos.where("id", "==", 3).select("title", document=TodoTitle).get(), Snapshot[TodoTitle])
assert_type(todos.live_count(), Query[Count])
assert_type(db.collection("rooms").where("title", "==", "x").select("id", document=Rooms).pages(2).docs[0].data, Rooms)
assert_type(db.collection("todos", TodoTitle).sql("select id, title from todos"), TodosQuery2[TodoTitle])


def by(field: TodosField, query: TodosQuery2[Todos]) -> TodosQuery2[Todos]:
    return query.order_by(field)


async def any_query(query: Query[Todos]) -> str:
    return (await query.get()).docs[0].data["title"]


print(any_query(todos), by("title", todos))
"""

WRONG = """
db.collection("todo")
todos.where("heading", "==", "x")
todos.where("heading", "is-null")
todos.where("title", "=", "x")
todos.where("title", "==", 3)
todos.where("title", "==")
todos.where("title", "==", None)
todos.where("title", "is-null", "x")
todos.where("title", "in", "abc")
todos.where("title", "in", [1])
todos.where("id", "==", "x")
todos.where("id", "in", "12")
todos.where("id", "like", "1%")
todos.where("score", "==", "nan")
todos.where("done", "==", "yes")
todos.where("done", "array-contains", True)
todos.where("priority", "==", "urgent")
todos.where("priority", "in", ["low", "urgent"])
todos.where("kind", "==", "c")
todos.where("tags", "array-contains", 3)
todos.where("tags", "array-contains-any", "abc")
todos.where("tags", "==", "a")
todos.where("tags", "like", "a%")
todos.where("marks", "array-contains", "x")
todos.where("at", "array-contains", 3)
todos.where("two_words", "==", "x")
todos.order_by("heading")
todos.order_by("title", "down")
todos.select("heading")
todos.select("title", "urgency")
todos.limit(3).where("heading", "==", "x")
todos.select("title").where("heading", "==", "x")
todos.select("title", document=TodoTitle).order_by("heading")
todos.select("title", document=TodoTitle).on_snapshot(lambda got: print(got.docs[0].data["id"] + "x"))
db.collection("rooms").where("priority", "==", "low")
sync_todos.where("heading", "==", "x")
sync_todos.order_by("heading")
sync_todos.select("heading")
sync_todos.where("id", "==", "x").get()
sync_todos.get().docs[0].data["heading"]
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[int]]:
    """The lines that mypy reports, by the module, beginning at 1 after ``USE``."""
    modules = {"app": python(COLLECTIONS), "right": USE + RIGHT, "wrong": USE + WRONG}
    return wrong_lines(tmp_path_factory.mktemp("queries"), modules, after=len(USE.splitlines()))


def test_the_module_and_right_queries_pass(found: dict[str, set[int]]) -> None:
    assert (found["app"], found["right"]) == (set(), set())


@pytest.mark.parametrize(("number", "line"), [(n, each) for n, each in enumerate(WRONG.splitlines(), 1) if each])
def test_a_wrong_query_is_an_error(found: dict[str, set[int]], number: int, line: str) -> None:
    assert number in found["wrong"], line


def test_the_classes_are_empty_when_the_program_runs_and_need_no_sdk(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(python(COLLECTIONS))
    program = (
        "import sys, app\n"
        "print(app.TodosQuery2[app.Todos], app.SyncTypedDatabase is app.TypedDatabase2, 'bunbase' in sys.modules)\n"
        "from bunbase import Database, Realtime\n"
        "print(type(Realtime('http://localhost').database(app.TypedDatabase2)) is Database)\n"
        "print(Realtime('http://localhost').database(app.TypedDatabase2).collection('todos').where('id', '==', 3).spec)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={"PYTHONPATH": f"{SDK}:{tmp_path}"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "app.TypedDatabase2[app.Todos] True False", "True", "{'where': [['id', '==', 3]]}",
    ]  # fmt: skip
