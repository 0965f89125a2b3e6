"""One spelling for queries that mean the same, so that their subscribers share a window.

Only rewrites that hold in three-valued logic: order and repetition inside AND, OR and IN do not matter, nested ANDs are one,
double negation is none.
"""

from __future__ import annotations

from dataclasses import replace

from engine.query.ir.model import And, Compare, Not, Or, Predicate, Query

__all__ = ["normalise"]


def normalise(query: Query) -> Query:
    """The query in its one spelling. Values must be canonical already."""
    where = None if query.where is None else _normal(query.where)
    return query if where is query.where else replace(query, where=None if where == And(()) else where)


def _normal(predicate: Predicate) -> Predicate:
    match predicate:
        case Not(item):
            inner = _normal(item)
            return inner.item if isinstance(inner, Not) else Not(inner)
        case And(items):
            return _flat(And, items)
        case Or(items):
            return _flat(Or, items)
        case Compare(operator="in" | "not-in" | "array-contains-any"):
            values = tuple(sorted(set(predicate.values), key=lambda value: (value is None, value or "")))
            if len(values) == 1 and predicate.operator != "array-contains-any":
                return replace(predicate, operator="==" if predicate.operator == "in" else "!=", values=values)
            return replace(predicate, values=values)
        case _:
            return predicate


def _flat(kind: type[And] | type[Or], items: tuple[Predicate, ...]) -> Predicate:
    found: dict[Predicate, None] = {}
    for item in items:
        normal = _normal(item)
        found |= dict.fromkeys(normal.items if isinstance(normal, kind) else (normal,))
    unique = sorted(found, key=repr)
    return unique[0] if len(unique) == 1 else kind(tuple(unique))
