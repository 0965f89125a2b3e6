"""The page of events: it has each event that the code logs, with its level, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from server.logs.clients import KINDS
from tests.support.sources import Source, called, python_files, read_source

ROOT = Path(__file__).parents[3]
LEVELS = ("debug", "info", "warning", "error", "critical", "exception")
OF_CLIENTS = ROOT / "server/logs/clients.py"
# Calls whose argument is the name of an event, with its place.
NAMED = {"level": 0, "client_error": 1, "_refused": 0}


def sources() -> dict[Path, Source]:
    return {path: read_source(path) for folder in ("engine", "server") for path in python_files(ROOT / folder)}


@cache
def logged() -> list[tuple[Path, str | None, str | None]]:
    return list(calls())


def calls() -> Iterator[tuple[Path, str | None, str | None]]:
    """Where, at which level (None: it depends), and which event; None: it comes as an argument."""
    known = dict(constant for source in sources().values() for constant in source.constants)
    for path, source in sources().items():
        for call in source.calls:
            function, name = call.func, called(call)
            if name in LEVELS and isinstance(function, ast.Attribute) and is_log(function.value):
                level, event = name, call.args[0]
            elif name in NAMED and (name == "client_error" or path == OF_CLIENTS or name == "level"):
                level, event = None, call.args[NAMED[name]]
            else:
                continue
            if isinstance(event, ast.Constant):
                yield path, level, str(event.value)
            else:
                yield path, level, known.get(ast.unparse(event))


def is_log(owner: ast.expr) -> bool:
    name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    return name in ("_log", "log", "logger")


def documented() -> dict[str, str]:
    """The level of each event by the page; those of clients are ``info``."""
    page = (ROOT / "docs/operations/logs.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    events: dict[str, str] = {}
    for row in rows:
        cells = row[1:] if len(row) == 4 else row
        if (name := re.fullmatch(r"`([a-z_]+)`", cells[0])) is not None:
            assert name[1] not in events, name[1]
            events[name[1]] = "info" if len(row) == 4 else cells[1]
    return events


def test_the_page_has_every_event_and_no_other() -> None:
    unnamed = [str(path.relative_to(ROOT)) for path, _, event in logged() if event is None]
    assert set(unnamed) == {"server/client/failures.py", "server/logs/clients.py"}, "names come as arguments"
    names = {event for _, _, event in logged() if event is not None}
    assert sorted(names) == sorted(documented())


def test_events_are_named_in_snake_case() -> None:
    assert [
        event for _, _, event in logged() if event is not None and not re.fullmatch(r"[a-z]+(_[a-z]+)*", event)
    ] == []


def test_the_page_has_the_level_of_each_event() -> None:
    page = documented()
    wrong = [
        f"{path.relative_to(ROOT)}: {event} is logged as {level}, documented as {page[event]}"
        for path, level, event in logged()
        if event is not None and level is not None and not within(level, page[event])
    ]
    assert wrong == []


def within(level: str, text: str) -> bool:
    if " to " in text:
        first, last = text.split(" to ")
        return LEVELS.index(first) <= LEVELS.index(level) <= LEVELS.index(last)
    return level in text.split(", then ")


def test_the_page_has_every_kind_of_event_of_clients() -> None:
    page = (ROOT / "docs/operations/logs.md").read_text()
    assert [kind for kind in KINDS if f"\n| `{kind}` |" not in page] == []
