"""The values of a query's parameters: read by PostgreSQL as the types that it inferred, never put into the SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import InvalidQueryError
from engine.query.sql.parsing.parameters import (
    ParameterType,
    check_length,
    check_params,
    text_of,
)
from engine.query.sql.safety.checked_sql import CheckedSql
from engine.query.sql.safety.dry_run import SqlSession
from engine.query.sql.safety.refusals import rejecting
from engine.values.special_times import is_special_time

__all__ = ["Bound", "bind"]


@dataclass(frozen=True, slots=True)
class Bound:
    """The values of a query's parameters: as JSON, and as canonical text. ``special_times``: one is ``now`` or the like."""

    values: tuple[object, ...]
    params: tuple[str | None, ...]
    special_times: bool


async def bind(session: SqlSession, checked: CheckedSql, params: object) -> Bound:
    """The parameters' values, each read as the type that Postgres inferred. Raises ``InvalidQueryError`` for a wrong one."""
    values = check_params(params, len(checked.types))
    if not values:
        return Bound((), (), False)
    pairs = list(zip(values, checked.types, strict=True))
    texts = [text_of(value, kind, number) for number, (value, kind) in enumerate(pairs, 1)]
    check_length(texts)
    canonical = await _canonical(session, texts, checked.types)
    check_length(canonical)
    bound, special_times = [], False
    for text, same, (_, kind) in zip(texts, canonical, pairs, strict=True):
        moment = text is not None and kind.oid in checked.timed and is_special_time(text)
        bound.append(text if moment else same)  # what 'now' is now must not be kept
        special_times = special_times or moment
    return Bound(tuple(values), tuple(bound), special_times)


async def _canonical(
    session: SqlSession, texts: Sequence[str | None], types: Sequence[ParameterType]
) -> list[str | None]:
    """The values as Postgres prints them. Raises ``InvalidQueryError`` naming the parameter whose value it refuses."""
    try:
        with rejecting():
            return await session.canonical(texts, types)
    except InvalidQueryError:
        for number, (text, kind) in enumerate(zip(texts, types, strict=True), 1):
            try:
                with rejecting():
                    await session.canonical([text], [kind])
            except InvalidQueryError as refused:
                raise InvalidQueryError(f"the value of ${number} ({kind.name}): {refused}") from refused
        raise
