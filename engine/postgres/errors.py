"""Errors of a database that is away, overloaded or locked: they pass by themselves, and are no fault of a client.

One place decides that, by exception type where the caller has to catch it and by SQLSTATE class (docs: "PostgreSQL Error
Codes") where it has an error already.
"""

from __future__ import annotations

import re
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg_pool import PoolTimeout

from engine.errors import BunbaseError, CatalogError

__all__ = [
    "AWAY",
    "UNREADABLE",
    "OtherServerError",
    "TableLockedError",
    "function_refuses",
    "in_words",
    "is_clients",
    "is_raised",
    "is_statements",
    "is_table_locked",
    "reason",
    "rolled_back",
]

AWAY: Final = (
    psycopg.OperationalError,
    PoolTimeout,
    OSError,
    # of class 25, which psycopg counts among internal errors
    errors.TransactionTimeout,
    errors.IdleInTransactionSessionTimeout,
    errors.ReadOnlySqlTransaction,
)
"""Raised while the database cannot do now what it could do at another time."""

UNREADABLE: Final = (*AWAY, CatalogError)
"""The same where rows and definitions are read: a catalog that cannot be used passes, too."""

# Classes of errors about the server, its state or its objects, not about a value.
_SERVERS: Final = (
    "08",
    "0A",
    "25",
    "26",
    "28",
    "2D",
    "34",
    "3B",
    "3D",
    "3F",
    "40",
    "42",
    "53",
    "55",
    "57",
    "58",
    "F0",
    "XX",
)


# Where the server reports an error that a function raised on purpose (RAISE and ASSERT of PL/pgSQL, plpy.error, elog of
# PL/Perl and PL/Tcl). Such an error has whatever SQLSTATE its author chose, so the SQLSTATE does not describe the server.
_RAISING: Final = frozenset(
    (
        "exec_stmt_raise",
        "exec_stmt_assert",
        "PLy_elog_impl",
        "PLy_elog",
        "PLy_output",
        "do_util_elog",
        "plperl_util_elog",
        "pltcl_elog",
    )
)


# Where the context of an error names a row by its place, in whatever language: 'while locking tuple (0,1) in relation "t"',
# also for an index entry that another transaction has made (XactLockTableWaitErrorCb in src/backend/storage/lmgr/lmgr.c).
_A_TUPLE: Final = re.compile(r"\(\d+,\d+\)")


class OtherServerError(BunbaseError, psycopg.OperationalError):
    """A connection leads to another server than the stream: a standby was promoted, and not all connections go there yet."""


class TableLockedError(BunbaseError, errors.LockNotAvailable):
    """A lock was not to be had in time. The text names the holder, which is for the log, not for clients."""


def is_raised(error: BaseException) -> bool:
    """Whether a function of the database raised ``error`` on purpose, with a SQLSTATE of its author's choice."""
    return isinstance(error, psycopg.Error) and error.diag.source_function in _RAISING


def is_statements(error: BaseException) -> bool:
    """Whether the statement and what it was given are the reason, although psycopg counts ``error`` among those of the
    operation: a function raised it, or the statement went over a limit of PostgreSQL (class 54, such as a text of 1 GB or
    ``chr(0)``, and ``temp_file_limit``). Repeating the statement brings the same error.
    """
    if not isinstance(error, psycopg.Error) or error.diag.severity_nonlocalized not in (None, "ERROR"):
        return False
    state = error.sqlstate or ""
    return is_raised(error) or state[:2] == "54" or state == "53400"


def is_table_locked(error: BaseException | None) -> bool:
    """Whether ``error`` means that the lock on a whole table was not to be had in time, not that on a row."""
    return (
        isinstance(error, errors.LockNotAvailable)
        and not is_raised(error)
        and not _A_TUPLE.search(error.diag.context or "")
    )


def function_refuses(error: BaseException | None) -> bool:
    """Whether ``error``, or what caused it, comes from inside a function such as a trigger, and is no wait or outage:
    the same statement would fail again. PostgreSQL gives errors inside functions a context.
    """
    if not isinstance(error, psycopg.Error):
        return error is not None and function_refuses(error.__cause__)
    return is_raised(error) or bool(error.diag.context and not isinstance(error, AWAY))


def rolled_back(error: BaseException, connection: psycopg.AsyncConnection[Any] | None) -> bool:
    """Whether ``error`` ended one statement or transaction of ``connection`` and nothing else: the session lives, and
    nothing of the transaction is stored. Every other error leaves open whether a commit happened.

    The SQLSTATE does not decide it: a trigger may raise any. A session that ends reports FATAL or PANIC (docs: "Error and
    Notice Message Fields"), and errors of the driver itself have no severity.
    """
    return (
        isinstance(error, psycopg.Error)
        and error.diag.severity_nonlocalized == "ERROR"
        and connection is not None
        and not connection.closed
        and not connection.broken
    )


def is_clients(error: psycopg.Error) -> bool:
    """Whether what a client gave is the reason: a value, a constraint, or a trigger that refuses it."""
    if is_raised(error):
        return True
    state = error.sqlstate
    if state is None:  # the driver's own: a value that it cannot send, such as text with a NUL
        return isinstance(error, psycopg.DataError)
    return state[:2] not in _SERVERS


def in_words(error: BaseException) -> str:
    """Why the database cannot do it now, for a client."""
    if isinstance(error, psycopg.Error) and is_raised(error):
        return f"a function of the database refuses it: {error.diag.message_primary}"
    match error:
        case errors.LockNotAvailable():
            what = "table" if is_table_locked(error) else "row"
            return f"a {what} it needs is locked by another session; try again"
        case errors.QueryCanceled():
            return "the database took too long; try again"
        case errors.ReadOnlySqlTransaction():
            return "the database is read-only now; try again later"
        case errors.InsufficientResources():
            return f"the database server lacks resources ({error.diag.message_primary}); try again later"
        case OtherServerError():
            return "the database is moving to another server; try again"
        case PoolTimeout():
            return "no database connection was free in time; try again"
        case psycopg.OperationalError(diag=diag) if (
            diag.severity_nonlocalized == "ERROR" and (diag.sqlstate or "")[:2] == "08"
        ):
            return "a connection that the database itself needs to another server failed; try again later"
    if isinstance(error, AWAY):
        return "the database cannot be reached; try again"
    return "the database refuses it for a reason of its own, which the server's log names; try again later"


def reason(error: psycopg.Error) -> str:
    """The error message, on one line. Its detail names the encoding that lacks a character."""
    message = error.diag.message_primary or str(error).strip()
    if isinstance(error, psycopg.errors.UntranslatableCharacter) and error.diag.message_detail:
        message = f"{message}: {error.diag.message_detail}"
    return message
