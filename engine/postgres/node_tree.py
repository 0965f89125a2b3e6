"""What an analysed query refers to, read from the node tree that Postgres keeps for a view.

The tree (``pg_rewrite.ev_action``) names by oid every relation, function, operator and type, whichever way the SQL was
written, so nothing hides behind a synonym, a search path or a syntax we do not know. Texts of the client appear in it only
as byte lists or with their blanks escaped: they can never look like a field of the tree. Node and field names are those of
PostgreSQL's ``primnodes.h`` and ``parsenodes.h``, 14 to 18.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Tree", "functions_in", "read_tree", "types_read"]

_FUNCTION = re.compile(
    r"(?<!\\) :(?:funcid|opfuncid|hashfuncid|negfuncid|aggfnoid|winfnoid|startInRangeFunc|endInRangeFunc) (\d+)"
)
_CALL = re.compile(r"\{FUNCEXPR :funcid (\d+)")
_OPERATOR = re.compile(r"(?<!\\) :(?:opno|eqop|sortop|cycle_mark_neop|mark_neop) (\d+)")
_OPERATORS = re.compile(r"(?<!\\) :opnos \(o ([\d ]+)\)")
_RELATION = re.compile(r"(?<!\\) :relid (\d+)")
_TYPE = re.compile(
    r"(?<!\\) :(?:resulttype|consttype|funcresulttype|coercetype|opresulttype|aggtype|wintype|array_typeid|row_typeid|type"
    r"|typid) (\d+)"
)
_ANY_TYPE = re.compile(r"(?<!\\) :\w*(?:[tT]ype|typeid|typid) (\d+)")
_ANY_TYPES = re.compile(r"(?<!\\) :\w*[tT]ypes \(o ([\d ]+)\)")
_SYSTEM_COLUMN = re.compile(r"\{VAR [^{}]*?:varattno -\d")
_READ_TYPE = re.compile(r"(?<!\\) :typid (\d+)")
_COLUMN_TYPES = re.compile(r"(?<!\\) :(?:funccoltypes|coltypes|colTypes) \(o ([\d ]+)\)")
_RECORD_TYPES = re.compile(r"(?<!\\) :funccoltypes \(o ([\d ]+)\)")
# Of the nodes with a resulttype, a COERCEVIAIO is the one that has no resulttypmod behind it, but its collation.
_IO_CAST = re.compile(r"(?<!\\) :resulttype (\d+) :resultcollid ")
# json_populate_record, json_populate_recordset, those of jsonb, and jsonb_populate_record_valid, with what they return: they
# read JSON as the type of their first argument. That of a record, or for a boolean, can be any type of the tree.
_POPULATE = re.compile(r"(?<!\\) :(?:funcid|opfuncid) (?:3960|3961|3209|3475|6338) :(?:func|op)resulttype (\d+)")
_ANY = frozenset({16, 2249})
# A value is checked as one of a domain: a COERCETODOMAIN is the node whose resulttypmod and collation have this behind them.
_DOMAIN = re.compile(r"(?<!\\) :resulttype (\d+) :resulttypmod -?\d+ :resultcollid \d+ :coercionformat ")
_VALUE_FUNCTION = re.compile(r"\{SQLVALUEFUNCTION :op (\d+)")
# What is read of a relation: in nodes of their own since PostgreSQL 16, before in those of the range table. Bits are column
# numbers from FirstLowInvalidHeapAttributeNumber (access/sysattr.h) on.
_SELECTED = r" :requiredPerms \d+ :checkAsUser \d+ :selectedCols \(b([ \d]*)\)"
_READ = re.compile(r"\{RTEPERMISSIONINFO :relid (\d+) :\w+ \w+" + _SELECTED)
_READ_BEFORE_16 = re.compile(r"(?<!\\) :rtekind 0 :relid (\d+) (?:(?! :rtekind ).)*?(?<!\\)" + _SELECTED, re.DOTALL)
_FIRST_BIT = -7
_HEADER = re.compile(r"\{QUERY (.*?)(?<!\\) :cteList ")
_TIMES = range(9)  # SVFOP_CURRENT_DATE .. SVFOP_LOCALTIMESTAMP_N; the rest name users, the database and schemas


@dataclass(frozen=True, slots=True)
class Tree:
    """The references of one query.

    ``calls``: those of ``functions`` that are called by name or as a cast, not through an operator.
    ``types`` are those it makes values of, ``every_type`` those of all its expressions. ``casts`` are types whose values are
    read from text, JSON or XML at run time. ``reads_clock``: ``current_timestamp`` and its like; ``reads_session``:
    ``current_user`` and its like. ``locks`` and ``samples``: FOR UPDATE and TABLESAMPLE. ``set_operations``: UNION and its
    like, whose columns are cast to a common type when they are planned. ``system_columns``: ``ctid``, ``xmin`` and their
    like. ``columns``: the relations that are read, each with the number of a column; 0 stands for its whole row, None for no
    column, as in ``count(*)``. ``aggregates`` and ``returns_sets`` are about the outermost select.
    """

    relations: frozenset[int]
    functions: frozenset[int]
    calls: frozenset[int]
    operators: frozenset[int]
    types: frozenset[int]
    every_type: frozenset[int]
    casts: frozenset[int]
    reads_clock: bool
    reads_session: bool
    locks: bool
    samples: bool
    set_operations: bool
    system_columns: bool
    columns: frozenset[tuple[int, int | None]]
    aggregates: bool
    returns_sets: bool


def read_tree(text: str, view: int) -> Tree:
    """Read the tree of the view with oid ``view``, defined as ``select ... from (the query) alias``."""
    text = _without_values(text)
    values = [int(found) for found in _VALUE_FUNCTION.findall(text)]
    headers = _HEADER.findall(text)
    query = headers[1] if len(headers) > 1 else ""
    return Tree(
        relations=_oids(_RELATION, text) - {0, view},
        functions=_oids(_FUNCTION, text) - {0},
        calls=_oids(_CALL, text),
        operators=(_oids(_OPERATOR, text) | _lists(_OPERATORS, text)) - {0},
        types=(_oids(_TYPE, text) | _lists(_COLUMN_TYPES, text)) - {0},
        every_type=_every_type(text),
        casts=_casts(text),
        reads_clock=any(value in _TIMES for value in values),
        reads_session=any(value not in _TIMES for value in values),
        locks="{ROWMARKCLAUSE " in text,
        samples="{TABLESAMPLECLAUSE " in text,
        set_operations="{SETOPERATIONSTMT " in text,
        system_columns=_SYSTEM_COLUMN.search(text) is not None,
        columns=frozenset(_columns_read(text, view)),
        aggregates=":hasAggs true" in query,
        returns_sets=":hasTargetSRFs true" in query,
    )


def types_read(text: str) -> frozenset[int]:
    """The types as which the tree of an expression or query reads text, JSON or XML when it runs, as ``casts`` of
    :class:`Tree`, and the domains whose checks it runs.
    """
    text = _without_values(text)
    return _casts(text) | _oids(_DOMAIN, text)


def functions_in(text: str) -> frozenset[int]:
    """``functions`` of :class:`Tree`, also of an expression."""
    return _oids(_FUNCTION, text) - {0}


def _casts(text: str) -> frozenset[int]:
    populated = _oids(_POPULATE, text)
    # The columns of XMLTABLE and JSON_TABLE are read; those of VALUES, CTEs and UNION have had their types before.
    columns = _COLUMN_TYPES if "{TABLEFUNC " in text else _RECORD_TYPES
    casts = populated | _oids(_IO_CAST, text) | _oids(_READ_TYPE, text) | _lists(columns, text)
    return casts | _every_type(text) if populated & _ANY else casts


def _every_type(text: str) -> frozenset[int]:
    return (_oids(_ANY_TYPE, text) | _lists(_ANY_TYPES, text)) - {0}


def _without_values(text: str) -> str:
    """The tree with constants that have their types alone, and one of those in a row that are the same.

    A list of thousands of literals is most of its tree, which each pattern reads from end to end. A brace of the client's
    is escaped, and so is a blank behind it, so what begins with ``CONST`` and a blank is a constant.
    """
    before, *nodes = text.split("{")
    kept, last = [before], ""
    for node in nodes:
        if not node.startswith("CONST "):
            kept.append(node)
            last = ""
            continue
        constant = node[: node.index(" :consttypmod ")] + node[node.index("}") :]
        if constant != last:
            kept.append(constant)
            last = constant
    return "{".join(kept)


def _columns_read(text: str, view: int) -> Iterator[tuple[int, int | None]]:
    for found, bits in _READ.findall(text) or _READ_BEFORE_16.findall(text):
        relation = int(found)
        if relation != view:
            numbers = [int(bit) + _FIRST_BIT for bit in bits.split()]
            yield from ((relation, number) for number in numbers or (None,))


def _oids(pattern: re.Pattern[str], text: str) -> frozenset[int]:
    return frozenset(int(found) for found in pattern.findall(text))


def _lists(pattern: re.Pattern[str], text: str) -> frozenset[int]:
    return frozenset(int(oid) for found in pattern.findall(text) for oid in found.split())
