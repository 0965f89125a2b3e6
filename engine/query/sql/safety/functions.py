"""Which functions a live query may call: those whose result follows from their arguments, the exposed tables and the clock.

A function is judged by its catalog entry (docs: "Function Volatility Categories"). VOLATILE ones are refused. STABLE
ones may read tables behind our back, so only those of ``pg_catalog`` that are listed here pass. IMMUTABLE ones of
``pg_catalog`` pass, except a few that look into it nevertheless.

That a function of one's own is declared IMMUTABLE is a promise which Postgres does not check. So everything it calls is
judged in its turn: its default arguments, and its body (``calls``). What Postgres cannot analyse (:class:`Opaque`), as a
body in PL/pgSQL, could also leave the reader's role (SET ROLE NONE). It passes only if a superuser or the owner of the
schema realtime owns it, and it belongs to an extension or the reader's role was granted EXECUTE by name. (The owner makes
the grant: a GRANT of another's function counts as its owner's.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from engine.errors import InvalidQueryError

__all__ = [
    "Function",
    "Opaque",
    "names_objects",
    "object_name",
    "problem_of",
    "reads_clock",
    "refuse_types",
    "refuse_unsafe",
]

_CLOCK: Final = frozenset({"now", "transaction_timestamp", "statement_timestamp"})

# Their results depend on arguments, session settings (which are fixed) and at most the clock.
_STABLE: Final = _CLOCK | frozenset(
    [
        "age",
        "anytextcat",
        "textanycat",
        "array_to_json",
        "array_to_string",
        "concat",
        "concat_ws",
        "convert",
        "convert_from",
        "convert_to",
        "date",
        "date_add",
        "date_part",
        "date_subtract",
        "date_trunc",
        "extract",
        "format",
        "generate_series",
        "in_range",
        "interval_pl_timestamptz",
        "json_agg_strict_transfn",
        "json_agg_transfn",
        "json_build_array",
        "json_build_object",
        "json_object_agg_strict_transfn",
        "json_object_agg_transfn",
        "json_object_agg_unique_strict_transfn",
        "json_object_agg_unique_transfn",
        "json_populate_record",
        "json_populate_recordset",
        "json_to_record",
        "json_to_recordset",
        "json_to_tsvector",
        "jsonb_agg_finalfn",
        "jsonb_agg_strict_transfn",
        "jsonb_agg_transfn",
        "jsonb_build_array",
        "jsonb_build_object",
        "jsonb_object_agg_finalfn",
        "jsonb_object_agg_strict_transfn",
        "jsonb_object_agg_transfn",
        "jsonb_object_agg_unique_strict_transfn",
        "jsonb_object_agg_unique_transfn",
        "jsonb_path_exists_tz",
        "jsonb_path_match_tz",
        "jsonb_path_query_array_tz",
        "jsonb_path_query_first_tz",
        "jsonb_path_query_tz",
        "jsonb_populate_record",
        "jsonb_populate_record_valid",
        "jsonb_populate_recordset",
        "jsonb_to_record",
        "jsonb_to_recordset",
        "jsonb_to_tsvector",
        "length",
        "make_timestamptz",
        "money",
        "numeric",
        "overlaps",
        "phraseto_tsquery",
        "plainto_tsquery",
        "quote_literal",
        "quote_nullable",
        "row_to_json",
        "time",
        "timestamp",
        "timestamptz",
        "timestamptz_mi_interval",
        "timestamptz_pl_interval",
        "timetz",
        "timezone",
        "to_char",
        "to_date",
        "to_json",
        "to_jsonb",
        "to_number",
        "to_timestamp",
        "to_tsquery",
        "to_tsvector",
        "ts_headline",
        "ts_match_tq",
        "ts_match_tt",
        "websearch_to_tsquery",
        "xml",
        "xml_is_well_formed",
    ]
)
_STABLE_COMPARISON: Final = re.compile(
    r"(date|timestamp|timestamptz)_(cmp|eq|ne|lt|le|gt|ge)_(date|timestamp|timestamptz)"
)
_CATALOG_READERS: Final = re.compile(
    r"pg_(?!lsn|size_|wal_lsn_diff).*|txid_.*|satisfies_hash_partition|acl.*|makeaclitem|hash_aclitem.*|ts_token_type|ts_parse"
)

# Types whose text form looks names up in the catalogs: regproc, regoper, regclass, regtype and so on, aclitem, and
# their arrays. regconfig and regdictionary only name text search configurations.
_NAMES_OF_OBJECTS: Final = frozenset(
    {24, 2202, 2203, 2204, 2205, 2206, 4089, 4096, 4191, 8326, 1033}
    | {1008, 2207, 2208, 2209, 2210, 2211, 4090, 4097, 4192, 8327, 1034}
)


class Opaque(Enum):
    """Why it is not known what a function's body calls, and what its owner can do. ``{0}``: its signature."""

    BODY = (
        "of which PostgreSQL does not know what it calls",
        "if it only computes, GRANT EXECUTE ON FUNCTION {0} TO realtime_reader as its owner, "
        "which must be a superuser or the owner of the schema realtime",
    )
    TEXT = (
        "whose body is a string, which PostgreSQL reads anew at each call and under other settings as something else",
        "write the body as BEGIN ATOMIC ... END or RETURN ..., "
        "or let a superuser or the owner of the schema realtime own it",
    )
    SETTINGS = (
        "which has settings of its own (SET search_path or the like), under which PostgreSQL does not know what it calls",
        "ALTER FUNCTION {0} RESET ALL; or, if it only computes, GRANT EXECUTE ON FUNCTION {0} TO realtime_reader "
        "as its owner, which must be a superuser or the owner of the schema realtime",
    )


@dataclass(frozen=True, slots=True)
class Function:
    """A function that the query can call.

    Attributes:
        built_in: it came with Postgres.
        volatility: ``i``, ``s`` or ``v``.
        vouched: its owner may vouch, and it belongs to an extension or the reader's role was granted EXECUTE by name.
        opaque: why Postgres does not know what its body calls; None if it does.
        fault: what its body does that a live query cannot follow, in words; empty if nothing.
        through: the function by which it is called; empty if the query itself names it.
    """

    oid: int
    name: str
    built_in: bool
    volatility: str
    security_definer: bool
    arguments: str
    aggregate: bool
    vouched: bool = False
    opaque: Opaque | None = None
    fault: str = ""
    through: str = ""


def refuse_unsafe(functions: list[Function]) -> None:
    """Raise ``InvalidQueryError`` for the first function that a live query may not call."""
    for function in functions:
        problem = problem_of(function)
        if problem:
            through = f" (by way of {function.through}())" if function.through else ""
            raise InvalidQueryError(f"the query calls {problem}{through}")


def problem_of(function: Function) -> str | None:
    """Why a live query may not call the function, in words that name it; None if it may."""
    name = f"{function.name}()"
    if function.aggregate:  # its support functions are in the list too
        return None
    if function.volatility == "v":
        return f"the volatile function {name}: its result changes without a change of data"
    if function.built_in:
        if _CATALOG_READERS.fullmatch(function.name):
            return f"{name}, which looks into the system catalogs"
        if function.volatility == "i" or _allowed(function):
            return None
        return f"{name}, whose result depends on more than its arguments and the time"
    if function.volatility == "s":
        return f"the STABLE function {name}, which may read tables; only IMMUTABLE functions of your own can be called"
    if function.security_definer:
        return f"the SECURITY DEFINER function {name}"
    if function.fault:
        return f"the function {name}, which {function.fault}"
    if function.opaque is not None and not function.vouched:
        why, remedy = function.opaque.value
        return f"the function {name}, {why}; {remedy.format(f'{name[:-1]}{function.arguments})')}"
    return None


def _allowed(function: Function) -> bool:
    if function.name == "age" and function.arguments == "xid":
        return False
    return function.name in _STABLE or _STABLE_COMPARISON.fullmatch(function.name) is not None


def refuse_types(types: frozenset[int]) -> None:
    """Raise :func:`object_name` if the query makes values of a type that looks into the catalogs (``regclass`` and such)."""
    if names_objects(types):
        raise object_name()


def names_objects(types: frozenset[int]) -> bool:
    """True if one of the types is ``regclass`` or the like, whose text form looks names up in the catalogs."""
    return bool(types & _NAMES_OF_OBJECTS)


def object_name() -> InvalidQueryError:
    """The refusal of ``'...'::regclass`` and its like; the same whether the name is known or not."""
    return InvalidQueryError(
        "a string of the query names an object of the database (as regclass, regtype, the sequence of nextval() or the "
        "like); it cannot"
    )


def reads_clock(function: Function) -> bool:
    """True if the function's result changes with time alone."""
    if not function.built_in:
        return False
    if function.name == "age":  # age(timestamp) counts from today
        return "," not in function.arguments
    if function.name == "timezone":  # whether summer time is in force today
        return "time with time zone" in function.arguments
    return function.name in _CLOCK
