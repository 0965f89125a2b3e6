"""The rejection that an error of PostgreSQL means for the client whose query caused it.

An error is identified by its SQLSTATE and its place in PostgreSQL's source, because messages are translated. A rejection is
the same for an object that does not exist and one that is not exposed to clients.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from engine.catalog.model import Table
from engine.errors import (
    InvalidQueryError,
    PermissionDeniedError,
    PrivilegeLostError,
    QueryRejectedError,
    SubscriptionFailedError,
)
from engine.postgres.errors import is_raised
from engine.query.sql.parsing.lexer import place
from engine.query.sql.safety.functions import object_name
from engine.query.sql.safety.no_operator import no_operator

__all__ = [
    "changes_session",
    "is_of_literal",
    "is_servers",
    "not_exposed",
    "refuse_problem",
    "rejecting",
    "rejection",
    "system_columns",
    "writes",
]

# Classes of errors (docs: "PostgreSQL Error Codes"): what looking up a name can give, and what is not the client's doing.
_LOOKUPS = ("42", "3F", "0A")
# Functions of PostgreSQL's source.
_TEXT_SEARCH = ("get_ts_config_oid", "get_ts_dict_oid", "regconfigin", "regdictionaryin")
_ROW_TEXT = "record_in"
_UNSUPPORTED = "0A000"
_NO_LOOK_UPS = ("pseudotypes.c", "rowtypes.c", "xml.c")  # what has no input, or none in this build
_SET_ROLE = ("42501", "call_string_check_hook")  # of SET ROLE that the server's role may not do
_SETTINGS = ("42501", "guc.c")
_LITERAL = re.compile(r"[eEbBxX]?'|\$")
_LOOK_UPS = ("lsyscache.c", "relation.c", "relcache.c", "syscache.c", "typcache.c")
_OURS: Final = ("08", "25", "40", "53", "55", "57", "58", "F0", "HV", "XX")


def is_servers(error: psycopg.Error) -> bool:
    """Whether ``error`` is caused by the server or its state, judged by its class."""
    return (error.sqlstate or "")[:2] in _OURS


def not_exposed(name: str) -> PermissionDeniedError:
    """The refusal of a relation; the same whether it does not exist or is not for clients."""
    return PermissionDeniedError(
        f'"{name}" cannot be read: it does not exist or is not exposed '
        "(of a view, expose the tables it reads and query those)"
    )


def refuse_problem(table: Table) -> None:
    """Raise why ``table`` cannot be subscribed to, if there is a reason."""
    if table.problem is None:
        return
    if table.withheld:
        raise PrivilegeLostError
    refused = SubscriptionFailedError if table.remediable else PermissionDeniedError
    raise refused(f'"{table.collection}" cannot be subscribed to: {table.refusal or table.problem}')


def system_columns() -> PermissionDeniedError:
    """The refusal of ``ctid`` and its like, of any table."""
    return PermissionDeniedError("system columns (ctid, xmin, tableoid and the like) are not exposed")


def writes(error: psycopg.errors.ReadOnlySqlTransaction) -> InvalidQueryError:
    """The refusal of a query of a client that does not only read."""
    return InvalidQueryError(
        f"the query writes, by a function that it calls, and may only read: {error.diag.message_primary}"
    )


def is_of_literal(error: psycopg.Error, sql: str) -> bool:
    """True if a string of ``sql`` names something that Postgres has not found."""
    position = int(error.diag.statement_position or 0) if sql else 0
    state = error.sqlstate or ""
    if position == 0 or state[:2] not in _LOOKUPS or (state == _UNSUPPORTED and error.diag.source_file in _NO_LOOK_UPS):
        return False
    return _LITERAL.match(sql, position - 1) is not None


def changes_session(error: psycopg.Error) -> bool:
    """Whether a function that a query calls was refused to change a setting, such as the role."""
    known = (error.sqlstate, error.diag.source_file)
    return known == _SETTINGS and (error.sqlstate, error.diag.source_function) != _SET_ROLE


def rejection(error: psycopg.Error, sql: str = "") -> QueryRejectedError | None:
    """What an error of Postgres means to the client whose SQL caused it; None if it is not the SQL's fault.

    ``sql`` is the text sent, if the error's position counts in it.
    """
    state = error.sqlstate or ""
    position = int(error.diag.statement_position or 0) if sql else 0
    message = error.diag.message_primary or str(error)
    if is_raised(error):
        return PermissionDeniedError(message) if state == "42501" else InvalidQueryError(message)
    where = f" ({place(sql, position - 1)})" if position else ""
    if (state, error.diag.source_function) == _SET_ROLE:
        return PrivilegeLostError()
    if changes_session(error):
        return InvalidQueryError(
            "the query calls a function, maybe in an index, a statistic or a check of its tables, "
            f"that changes a setting of the session, and may only read: {message}"
        )
    if is_of_literal(error, sql):
        plain = error.diag.source_function in _TEXT_SEARCH and "." not in message  # names no schema
        return InvalidQueryError(f"{message}{where}") if plain else object_name()
    if state == "42501":
        return PermissionDeniedError(
            f"{message}: only exposed columns can be read (in a subquery, name them instead of *)"
        )
    if state in ("42P01", "3F000"):
        return PermissionDeniedError(f"{message}, or it is not exposed")
    if not state or (is_servers(error) and not _of_the_query(error, state)):
        return None
    if error.diag.source_function == _ROW_TEXT and state == _UNSUPPORTED:
        return InvalidQueryError(
            f"a string is compared with a row: cast it to the row's type, or write row(...){where}"
        )
    return no_operator(error, sql, where) or InvalidQueryError(f"{message}{where}")


def _of_the_query(error: psycopg.Error, state: str) -> bool:
    """Whether an error of a server class is caused by the query: a temporary file or a value that is too large.

    An internal error is caused by the query's values, unless it was raised while looking up definitions, which may have been
    dropped meanwhile.
    """
    return state == "53400" or (state == "XX000" and error.diag.source_file not in _LOOK_UPS)


@contextmanager
def rejecting() -> Iterator[None]:
    """Errors of Postgres that are the client's doing come out as :func:`rejection`, others as they are."""
    try:
        yield
    except psycopg.Error as error:
        found = rejection(error)
        if found is None:
            raise
        raise found from error
