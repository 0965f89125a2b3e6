"""Error messages for a type that lacks an operator, an order or an equality in PostgreSQL.

The same for a builder query, which names a field, and for clients' SQL, for which PostgreSQL reports the position.
"""

from __future__ import annotations

import re
from typing import Final

import psycopg

from engine.errors import InvalidQueryError

__all__ = ["lacks_operator", "lacks_order", "no_operator"]

_MISSING, _AMBIGUOUS = "42883", "42725"
# Functions of PostgreSQL's source (parse_oper.c, arrayfuncs.c, rowtypes.c), as messages have many languages.
_OPERATOR: Final = "op_error"
_ORDER: Final = frozenset(
    {
        "array_cmp",
        "array_eq",
        "get_sort_group_operators",
        "hash_array",
        "hash_array_extended",
        "hash_record",
        "hash_record_extended",
        "record_cmp",
        "record_eq",
    }
)
_NAME: Final = r'(?:(?:"(?:[^"]|"")+"|[^\W\d]\w*)\.)*(?:"(?:[^"]|"")+"|[^\W\d]\w*)'
_BEFORE: Final = re.compile(rf"(?<![\w:.\"])({_NAME})\s*$")
_AT: Final = re.compile(rf"({_NAME})(?!\s*\()")
_SIGNATURE: Final = re.compile(
    r"(?:(?P<left>.*) )?(?P<sign>[-+*/<>=~!@#%^&|`?]+) (?P<right>.*)"
)  # op_signature_string()
_NEXT: Final = "cast it to a type that has one (of a domain, its base type)"


def lacks_operator(subject: str, operator: str, where: str = "") -> InvalidQueryError:
    """``subject`` is a field or value, and its type in brackets."""
    return InvalidQueryError(
        f"{subject} has no operator {operator!r}{where}: PostgreSQL cannot compare values of this type so"
    )


def lacks_order(subject: str, where: str = "") -> InvalidQueryError:
    """As :func:`lacks_operator`."""
    return InvalidQueryError(f"{subject} cannot be ordered by{where}: values of this type have no order in PostgreSQL")


def no_operator(error: psycopg.Error, sql: str, where: str) -> InvalidQueryError | None:
    """The rejection of SQL for which PostgreSQL found no operator; None if ``error`` is another one.

    ``sql``: the text sent if the position in ``error`` counts in it, else nothing. ``where``: the place in words.
    """
    message = error.diag.message_primary or str(error)
    at = int(error.diag.statement_position or 0) - 1 if sql else -1
    if error.sqlstate == _MISSING and error.diag.source_function in _ORDER:
        found = _AT.match(sql, at) if at >= 0 else None
        subject = f"{found[1]!r}" if found else "a value of the query"
        return InvalidQueryError(
            f"{subject} cannot be ordered, grouped or compared{where}: PostgreSQL has no such operator for its type; "
            f"{_NEXT}, or to text. PostgreSQL: {message}"
        )
    if error.sqlstate not in (_MISSING, _AMBIGUOUS) or error.diag.source_function != _OPERATOR:
        return None
    signature = _SIGNATURE.fullmatch(message.rpartition(": ")[2])  # the message ends with it in every language
    if signature is None:
        return None
    left, sign, right = signature["left"] or "", signature["sign"], signature["right"]
    if error.sqlstate == _AMBIGUOUS:
        return InvalidQueryError(
            f"PostgreSQL cannot decide which operator {sign!r} is meant between {left} and {right}{where}; cast the values"
        )
    found = _BEFORE.search(sql[:at]) if at >= 0 and left != "unknown" else None
    kind = right if left in ("", "unknown") else left
    subject = f"field {found[1]!r} ({kind})" if found and found[1].lower() != "end" else f"a value of type {kind}"
    other = f" with {right}" if kind is left and right != "unknown" else ""
    refusal = lacks_operator(subject, sign, f"{other}{where}")
    return InvalidQueryError(f"{refusal}; {_NEXT}, or to text")
