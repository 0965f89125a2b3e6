"""Live queries as they are written: ``collection(…).where(…).order_by(…).limit(…)``. Queries are immutable values."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, Self

from bunbase.client.live_query import Callback, QuerySubscription
from bunbase.core.cursor import cursor
from bunbase.core.withdrawn import withdrawn
from bunbase.protocol.codec import expect_json
from bunbase.protocol.expected import expect_flag, expect_text
from bunbase.protocol.type_variables import D_co

__all__ = ["KeyValue", "QueryBuilder", "Subscribe"]

KeyValue = str | int | float | bool
"""A value of a primary key: a number, or its text."""

Operator = Literal[
    "==", "!=", "<", "<=", ">", ">=", "in", "not-in", "array-contains", "array-contains-any", "like", "ilike",
    "is-null", "is-not-null",
]  # fmt: skip
"""The operators of conditions, see the guide to live queries."""

Subscribe = Callable[[str, Mapping[str, Any], Callback[Any] | None, Mapping[str, bool]], QuerySubscription[Any]]
"""Opens a live query: of a collection, for a query in the protocol's form, with a listener, with ``meta`` or ``fresh``."""


class QueryBuilder(Generic[D_co]):
    """A query over one collection, as it is written. Each method returns a new query; the old one stays as it is."""

    def __init__(
        self,
        subscribe: Subscribe,
        collection: str,
        spec: Mapping[str, Any] | None = None,
        *,
        options: Mapping[str, bool] | None = None,
    ) -> None:
        self._subscribe = subscribe
        self._collection = collection
        self._spec = dict(spec or {})
        self._options = dict(options or {})

    def __repr__(self) -> str:
        # Without the values of conditions and cursors, which may be anybody's.
        parts = [_described(name, value) for name, value in self._spec.items() if name != "params"]
        return f"<{type(self).__name__} of {', '.join([self._collection, *parts])}>"

    @property
    def spec(self) -> dict[str, Any]:
        """The query in the protocol's form."""
        return dict(self._spec)

    def where(self, field: str | Mapping[str, Any], operator: Operator | None = None, value: object = None) -> Self:
        """One more condition that must hold.

        Args:
            field: a field's name, or a group such as ``{"or": [["author", "==", "ada"], ["likes", ">", 9]]}``.
            operator: how to compare; not with a group.
            value: the operand; none with ``is-null`` and ``is-not-null``.
        """
        if isinstance(field, str) and operator is None:
            raise TypeError(f"where: an operator is expected after {field!r}, such as where({field!r}, '==', …)")
        condition: object = field
        if operator is not None:
            condition = [field, operator] if operator in ("is-null", "is-not-null") else [field, operator, value]
        return self._with(where=[*self._spec.get("where", ()), condition])

    def order_by(
        self,
        field: str,
        direction: Literal["asc", "desc"] = "asc",
        nulls: Literal["nulls-first", "nulls-last"] | None = None,
    ) -> Self:
        """One more sort key. Nulls are last ascending and first descending, unless ``nulls`` is set."""
        key = [field, direction] if nulls is None else [field, direction, nulls]
        return self._with(orderBy=[*self._spec.get("orderBy", ()), key])

    def limit(self, count: int) -> Self:
        """At most so many documents."""
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"limit: a whole number is expected, not {type(count).__name__}")
        return self._with(limit=count)

    def start_at(self, *at: object) -> Self:
        """From this place in the order on: a document, or values of the sort keys, then of the primary key.

        Raises:
            RealtimeError: ``RT_007``: the document lacks a field of the order, which is given before.
        """
        return self._at("startAt", at)

    def start_after(self, *at: object) -> Self:
        """From behind this place in the order on, see ``start_at``."""
        return self._at("startAfter", at)

    def end_at(self, *at: object) -> Self:
        """Up to this place in the order, see ``start_at``."""
        return self._at("endAt", at)

    def end_before(self, *at: object) -> Self:
        """Up to before this place in the order, see ``start_at``."""
        return self._at("endBefore", at)

    def doc(self, id: KeyValue, *more: KeyValue) -> Self:
        """One document, ``Snapshot.doc``, by its ``id``; or by the values of its primary key, in the order of the key."""
        return self._with(doc=[id, *more])

    def sql(self, text: str, params: list[object] | tuple[object, ...] = ()) -> Self:
        """One ``SELECT``; ``$1`` … are ``params``. Conditions, order and limit are part of it: others are refused."""
        if not isinstance(params, list | tuple):
            raise TypeError(f"params: a list is expected, not {type(params).__name__}")
        expect_text("sql", text)
        return self._with(sql=text, params=list(params))

    @withdrawn("snapshots(meta=True) or on_snapshot(…, meta=True)")
    def with_meta(self) -> Self:
        """Withdrawn: use the option ``meta`` of ``snapshots``."""
        return self._subscribed(meta=True)

    @withdrawn("snapshots(fresh=True) or on_snapshot(…, fresh=True)")
    def fresh(self) -> Self:
        """Withdrawn: use the option ``fresh`` of ``snapshots``."""
        return self._subscribed(fresh=True)

    def _subscribed(self, **options: bool) -> Self:
        for option, on in options.items():
            expect_flag(option, on)
        query = self._with()
        query._options = {**self._options, **{option: True for option, on in options.items() if on}}
        return query

    def _at(self, name: str, at: tuple[object, ...]) -> Self:
        return self._with(**{name: cursor(at, self._spec.get("orderBy", ()))})

    def _with(self, **more: object) -> Self:
        expect_json(more)
        query = copy.copy(self)
        query._spec = {**self._spec, **more}
        return query


def _described(name: str, value: Any) -> str:
    if name == "limit":
        return f"limit {value}"
    if name == "select":
        return f"select {' and '.join(map(str, value))}"
    if name not in ("where", "orderBy"):
        return name
    return f"{name} {' and '.join(str(each[0]) if isinstance(each, list) else '(…)' for each in value)}"
