"""What mypy finds in programs that give the Python SDK the types of documents and messages: what is right passes, each wrong
use is an error, and without types nothing is.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SDK = Path(__file__).parents[3] / "sdk/python"

TYPES = '''
from typing import Any, Literal, TypedDict

from bunbase import (
    Change, Count, Doc, ErrorCode, Message, Messages, Pages, Query, QuerySubscription, Realtime, RealtimeError, Snapshot,
    Snapshots, SyncPages, SyncQuery, SyncRealtime,
)


class Todo(TypedDict):
    """As `realtime types --py` writes it."""

    id: int
    title: str
    priority: Literal["low", "high"]


class TodoTitle(TypedDict):
    """What is selected of it."""

    id: int
    title: str


class NewMessage(TypedDict):
    text: str


realtime, sync = Realtime("http://localhost"), SyncRealtime("http://localhost")
todos = realtime.database().collection("todos", Todo)
sync_todos = sync.database().collection("todos", Todo)
'''

RIGHT = """
from typing import assert_type

assert_type(todos, Query[Todo])
assert_type(todos.where("priority", "==", "low").order_by("title").limit(3).doc(7), Query[Todo])


def show(snapshot: Snapshot[Todo]) -> None:
    assert_type(snapshot.docs, tuple[Doc[Todo], ...])
    assert_type([change.doc.data["title"] for change in snapshot.changes], list[str])
    if snapshot.doc:
        assert_type(snapshot.doc.data, Todo)
        assert_type(snapshot.doc.data["priority"], Literal["low", "high"])


async def follow() -> None:
    live = todos.on_snapshot(show)
    assert_type(live, QuerySubscription[Todo])
    assert_type(live.docs[0].data["id"], int)
    assert_type((await todos.get()).docs[0].data, Todo)
    async with todos.snapshots(meta=True, fresh=True) as snapshots:
        assert_type(snapshots, Snapshots[Todo])
        async for snapshot in snapshots:
            show(snapshot)
    pages = todos.pages(2, show)
    assert_type(pages, Pages[Todo])
    assert_type(pages.docs, tuple[Doc[Todo], ...])
    assert_type(todos.live_count(), Query[Count])
    assert_type((await todos.live_count().get()).docs[0].data["count"], int)
    async for message in realtime.channel("chat:1").messages("new-message", NewMessage):
        assert_type(message, Message[NewMessage])
        assert_type(message.data["text"], str)


assert_type(todos.select("title"), Query)
assert_type(todos.select("title", "priority").where("priority", "==", "low"), Query)
assert_type(todos.select("title", document=TodoTitle), Query[TodoTitle])
assert_type(todos.select("title", document=TodoTitle).order_by("priority").limit(3), Query[TodoTitle])
assert_type(todos.select("title", document=TodoTitle).pages(2), Pages[TodoTitle])
assert_type(sync_todos.select("title"), SyncQuery)
assert_type(sync_todos.select("title", document=TodoTitle).get().docs[0].data, TodoTitle)
assert_type(sync_todos.where("title", "==", "x"), SyncQuery[Todo])
assert_type(sync_todos.get().docs[0].data["title"], str)
assert_type(next(sync_todos.snapshots()).docs[0].data, Todo)
assert_type(sync_todos.pages(2), SyncPages[Todo])
assert_type(next(sync_todos.pages(2)).changes, tuple[Change[Todo], ...])
assert_type(sync_todos.live_count(), SyncQuery[Count])
assert_type(next(sync.channel("chat:1").messages("new-message", NewMessage)).data["text"], str)


@realtime.on("error")
def failed(error: RealtimeError) -> bool:
    return error.code is ErrorCode.NOT_FOUND or error.code == ErrorCode(ErrorCode.PRESENCE_REJECTED.value)
"""

UNTYPED = """
from typing import assert_type


def show(snapshot: Snapshot) -> None:  # as programs that know no types are written, and libraries for any document
    for doc in snapshot.docs:
        print(doc.data["whatever"].anything, doc.data["count"] + 1)


async def follow(realtime: Realtime) -> None:
    query: Query = realtime.database().collection("todos")
    query.on_snapshot(show)
    query.pages(2, show)
    query.select("title").on_snapshot(show)
    todos.on_snapshot(show)  # a snapshot of any documents takes one of todos
    untyped: Query = todos
    assert_type((await query.get()).docs[0].data["x"], Any)
    live: QuerySubscription = query.live_count().on_snapshot(show)
    print(live.docs[0].data["count"], untyped)
    async for message in realtime.channel("chat:1").messages("new-message", buffer=5):
        print(message.data["text"].upper())
    messages: Messages = realtime.channel("chat:1").messages()
    print((await anext(messages)).data)


@realtime.channel("chat:1").on("new-message")
def received(message: Message) -> None:
    print(message.data["text"])


assert_type(sync.database().collection("todos").get().docs[0].data["x"], Any)
"""

WRONG = {
    "a field that is none": ('todos.on_snapshot(lambda got: print(got.docs[0].data["heading"]))', "typeddict-item"),
    "a value as another type": (
        'async def f() -> int:\n    return (await todos.get()).docs[0].data["title"]', "return-value",
    ),
    "a field that is not selected": (
        'def f(doc: Doc[TodoTitle]) -> None: ...\nf(todos.select("id", "title", document=Todo).get())', "arg-type",
    ),
    "a label that is none": (
        'def f(doc: Doc[Todo]) -> bool:\n    return doc.data["priority"] == "urgent"', "comparison-overlap",
    ),
    "a listener of other documents": (
        "def f(snapshot: Snapshot[NewMessage]) -> None: ...\ntodos.on_snapshot(f)", "arg-type",
    ),
    "a type that no document has": ('realtime.database().collection("todos", int)', "type-var"),
    "an operator that is none": ('realtime.database().collection("todos").where("title", "=", "x")', "arg-type"),
    "a direction that is none": ('todos.order_by("title", "down")', "arg-type"),
    "a field of a count": (
        'async def f() -> None:\n    (await todos.live_count().get()).docs[0].data["id"]', "typeddict-item",
    ),
    "a field of synchronous code": ('sync_todos.get().docs[0].data["heading"]', "typeddict-item"),
    "pages of synchronous code": ('sync_todos.pages(2).docs[0].data["heading"]', "typeddict-item"),
    "a field of a message": (
        'next(sync.channel("chat:1").messages("new-message", NewMessage)).data["txt"]', "typeddict-item",
    ),
    "a message as another": (
        'def f(message: Message[NewMessage]) -> int:\n    return message.data["text"]', "return-value",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What mypy reports, by the name of the program. One run for all of them."""
    folder = tmp_path_factory.mktemp("typed")
    programs = {"right": RIGHT, "untyped": UNTYPED, **{f"wrong{n}": text for n, (text, _) in enumerate(WRONG.values())}}
    for name, text in programs.items():
        (folder / f"{name}.py").write_text(TYPES + text)
    (folder / "mypy.ini").write_text(f"[mypy]\nstrict = true\npython_version = 3.11\nmypy_path = {SDK}\n")
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(folder / "cache"), *(f"{name}.py" for name in programs)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.stderr == ""
    reports: dict[str, list[str]] = {name: [] for name in programs}
    for line in done.stdout.splitlines():
        name, separator, report = line.partition(".py:")
        if separator and ": error: " in report:
            reports[name].append(report)
    return reports


@pytest.mark.parametrize("program", ["right", "untyped"])
def test_what_is_right_passes_with_types_and_without(found: dict[str, list[str]], program: str) -> None:
    assert found[program] == []


@pytest.mark.parametrize("number", range(len(WRONG)), ids=list(WRONG))
def test_a_wrong_use_is_the_error_that_it_is(found: dict[str, list[str]], number: int) -> None:
    [report] = found[f"wrong{number}"]
    assert report.endswith(f"[{list(WRONG.values())[number][1]}]")


def test_a_type_changes_nothing_when_the_program_runs() -> None:
    program = """
        import sys
        from bunbase import Doc, Message, Realtime, Snapshot
        todos = Realtime("http://localhost").database().collection("todos", dict)
        assert repr(todos) == "<Query of todos>" and todos.spec == {}
        assert Doc[dict]("1", {"a": 1}) == Doc("1", {"a": 1})
        assert Snapshot[dict]((), (), "0/1") == Snapshot((), (), "0/1") and Message[dict]("c", "e", {})
        assert "typing_extensions" not in sys.modules
    """
    text = "\n".join(line.strip() for line in program.splitlines())
    environment = {"PYTHONPATH": str(SDK)}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
