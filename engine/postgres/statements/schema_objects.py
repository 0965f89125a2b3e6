"""What ``sql/schema`` makes: its files, their checksum, and which functions, views and triggers of theirs are missing."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from engine.postgres.statements.named_queries import folder

__all__ = ["SCHEMA", "lost_objects", "lost_trigger", "schema_checksum", "schema_files"]

SCHEMA: Final = "sql/schema"
"""The name under which ``sql/schema`` as a whole stands in ``realtime.migrations``."""

_MADE = re.compile(
    r"^( *)create (?:or replace )?(function|view|trigger) (?:realtime\.)?(\w+)"
    r"|foreach \w+ in array '\{([\w,]+)\}'",  # the types of the signatures that a loop makes
    re.MULTILINE,
)


def lost_objects(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """What is missing, in words; ``rows`` are those of the query ``schema_objects``. A migrate makes it again."""
    present = Counter((row["kind"], row["name"]) for row in rows)
    return tuple(f"{kind} realtime.{name}" for kind, name in sorted((_schema_objects() - present).keys()))


def lost_trigger(row: Mapping[str, Any]) -> str:
    """A row of the query ``doctor_triggers``, in words."""
    return f"trigger {row['name']} on {row['relation']} {row['what']}: what it announces or checks is not noticed"


@cache
def _schema_objects() -> Counter[tuple[str, str]]:
    """Kinds and names of what ``sql/schema`` makes, each as often as there is one at least.

    A function counts once for each of its signatures. What is indented stands in a loop, and counts once for each type of
    the last loop over a list of types.
    """
    made: Counter[tuple[str, str]] = Counter()
    for path in schema_files():
        types = ""
        for indent, kind, name, of_loop in _MADE.findall(path.read_text()):
            if of_loop:
                types = of_loop
            else:
                made[kind, name] += len(types.split(",")) if indent else 1
    return made


@cache
def schema_checksum() -> str:
    """One checksum over all of ``sql/schema``: an upgrade that only changes functions must be noticed too."""
    checksum = hashlib.sha256()
    for path in schema_files():
        checksum.update(path.read_bytes())
    return checksum.hexdigest()


def schema_files() -> Iterator[Path]:
    """The files of ``sql/schema`` in the order in which they run: by folder, then by name."""
    yield from sorted((folder("sql") / "schema").glob("*/*.sql"))
