"""Why a table cannot be subscribed to, or its changes cannot be followed: in words for operators, and for clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.values.pg_types import Column

__all__ = [
    "Problem",
    "Published",
    "field_problem",
    "not_granted",
    "publication_problem",
    "table_problem",
    "unidentified",
    "unpublished",
]

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Published:
    """The publication as a whole.

    ``generated`` and ``listed``: the kinds of generated columns that it sends, where a table has no column list and where
    it has one that names them.
    """

    problem: str | None
    all_tables: bool
    schemas: frozenset[str]
    generated: str
    listed: str

    def has(self, entry: Json) -> bool:
        """Whether the table is published: by name, with its schema, or with all tables."""
        return bool(entry["published"]) or self.all_tables or entry["schema"] in self.schemas


def publication_problem(publication: Json) -> str | None:
    """Why live queries cannot follow what this publication sends, or None."""
    if not publication:
        return "the publication bunbase_realtime is missing; run `realtime migrate`"
    unsent = [kind for kind in ("insert", "update", "delete", "truncate") if not publication[kind]]
    if unsent:
        return f"the publication bunbase_realtime does not publish {', '.join(unsent)}; run `realtime migrate`"
    if not publication["via_root"]:
        return "the publication bunbase_realtime does not publish via the partition root; run `realtime migrate`"
    return None


class Problem(NamedTuple):
    """Why a table cannot be subscribed to; ``refusal``: the same for clients, which get no names of tables."""

    text: str
    refusal: str


def _of_table(entry: Json, text: str) -> Problem:
    """``text``, in which ``{table}`` stands for the table."""
    return Problem(text.format(table=f"{entry['schema']}.{entry['name']}"), text.format(table="its table"))


def table_problem(entry: Json, *, served: bool) -> Problem | None:
    """Why the table cannot be subscribed to, or None. expose() checked this once; the table may have changed since."""
    leaves = [member for member in entry["members"] or () if member["leaf"]]
    if entry["row_security"] and not served:
        text = (
            "row-level security is enabled on {table}, and no role is served that its policies could be applied for: "
            "realtime.serve_role() serves one"
        )
    elif not entry["readable"]:
        text = "no exposed column of {table} is there any more; expose it again"
    elif entry["inherited"]:
        text = "{table} takes part in table inheritance, which live queries do not follow"
    elif any(leaf["kind"] not in ("r", "p") for leaf in leaves):
        text = "a partition of {table} is a foreign table, whose changes are not in the WAL"
    else:
        return None
    return _of_table(entry, text)


def not_granted(entry: Json) -> Problem:
    """Why clients may see none of the columns that were exposed and are still there."""
    text = "realtime_reader may not read {table} any more; `realtime migrate` gives it back what was exposed"
    return _of_table(entry, text)


def unidentified(entry: Json) -> Problem | None:
    """Why old rows of the table, or of a partition, have no replica identity any more, or None."""
    found = next((member["problem"] for member in entry["members"] or () if member["problem"]), None)
    if found is None:
        return None
    rest = (
        "updates and deletes cannot be followed; give it a primary key and REPLICA IDENTITY DEFAULT, "
        "or REPLICA IDENTITY FULL"
    )
    return Problem(f"{found}: {rest}", f"its table, or a partition of it, has no usable replica identity: {rest}")


def unpublished(entry: Json, published: Published) -> Problem | None:
    """Why the stream does not bring all changes of the table, or None."""
    if published.problem:
        return Problem(published.problem, published.problem)
    if not published.has(entry):
        text = "{table} is not in the publication bunbase_realtime; expose it again, or run `realtime migrate`"
    elif entry["row_filter"]:
        text = "the publication bunbase_realtime has a row filter on {table}; take it away"
    else:
        return None
    return _of_table(entry, text)


def field_problem(columns: tuple[Column, ...]) -> Problem | None:
    """Two exposed columns that clients would know by the same name, or None."""
    seen: dict[str, str] = {}
    for column in columns:
        if column.exposed and (other := seen.setdefault(column.field, column.name)) != column.name:
            text = (
                f"columns {other!r} and {column.name!r} are both shown as {column.field!r}; expose without camel_case"
            )
            return Problem(text, text)
    return None
