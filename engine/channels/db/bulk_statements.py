"""Small writes that come together, as one statement: those of the same query become one with arrays in place of values.

A statement costs more in the client than all that it has in it. The bulk form of a query does for each element of its arrays
what the query does for its values, and fails as a whole: :mod:`engine.channels.db.write_batcher` runs each alone then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.postgres.statements.arrays import text_array

__all__ = ["BULK", "BulkStatement"]

Rows = list[dict[str, Any]]
Parameters = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class BulkStatement:
    """The bulk form of a query, by its name. ``arrays``: the parameter that has all values of one of the query's.
    ``shared``: parameters that are the same for all. ``key``: the parameter, and column, by which a result belongs to one of
    them; None: there are no results.
    """

    name: str
    arrays: Mapping[str, str]
    shared: Sequence[str] = ()
    key: str | None = None

    def parameters(self, of_each: Sequence[Parameters]) -> dict[str, object]:
        """The parameters of the bulk form."""
        arrays: dict[str, object] = {
            array: text_array([_text(each[one]) for each in of_each]) for one, array in self.arrays.items()
        }
        return arrays | {name: of_each[0][name] for name in self.shared}

    def results(self, of_each: Sequence[Parameters], rows: Rows) -> list[Rows]:
        """The rows that belong to each."""
        if self.key is None:
            return [[] for _ in of_each]
        found: dict[object, Rows] = {}
        for row in rows:
            found.setdefault(row[self.key], []).append(row)
        return [found.get(each[self.key], []) for each in of_each]


def _text(value: object) -> str | None:
    """A value as PostgreSQL reads it: a text, a boolean, or none."""
    return value if value is None or isinstance(value, str) else str(value)


BULK: Final[Mapping[str, BulkStatement]] = {
    "engine_connect": BulkStatement(
        "engine_connect_all",
        {"id": "ids", "user": "users", "attributes": "attributes", "transport": "transports", "ip": "ips"},
        shared=["node"],
    ),
    "engine_drop": BulkStatement("engine_drop_all", {"id": "ids"}),
    "engine_close_connection": BulkStatement("engine_close_connections", {"id": "ids"}),
    "engine_is_limited": BulkStatement("engine_are_limited", {"channel": "channels"}, key="channel"),
    "engine_join": BulkStatement(
        "engine_join_all",
        {
            "channel": "channels",
            "connection": "connections",
            "user": "users",
            "metadata": "metadata",
            "state": "states",
            "typing": "typing",
        },
    ),
}
"""By the name of the query for one."""
