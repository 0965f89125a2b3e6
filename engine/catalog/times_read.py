"""Does what decides which rows are seen read text, JSON or XML as a time when it runs?

``'now'`` and ``'today'`` are valid input of dates and times, alone or as a part of a composite, an array or a range (docs:
"Date/Time Types", special values). So a condition that reads a column as a date, ``valid_until::date``, changes with the
clock alone where a row has ``today``. Of policies, views and functions in the standard's form it is known from their node
trees as what text is read. Of a function whose body is a text it is judged by that text and by its signature: it may read
what names a type that consists of times, and in PL/pgSQL also what has a variable of one. More is found than there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Final

from engine.postgres.node_tree import functions_in, types_read
from engine.postgres.oids import NUMBER_OIDS, TIME_RELATED_OIDS
from engine.values.special_times import is_special_time

__all__ = ["Body", "Code", "TypeName", "body_of"]

# timetz(time), timezone(text, timetz) and timezone(timetz): whether summer time is in force today. They are written as
# syntax (``::timetz``, AT TIME ZONE, AT LOCAL), so no text has their names.
_BY_SYNTAX: Final = frozenset({2047, 2037, 6336})
_NO_TEXT: Final = NUMBER_OIDS | TIME_RELATED_OIDS | {16, 1186}  # and boolean, interval
_POLYMORPHIC: Final = frozenset({2283, 2277, 2776, 3500, 3831, 4537, 5077, 5078, 5079, 5080, 4538})  # anyelement …

_TYPES: Final = (
    "date|time|timetz|timestamp|timestamptz|daterange|tsrange|tstzrange|datemultirange|tsmultirange|tstzmultirange"
)
_NAMED: Final = re.compile(rf"(?:(?<![\w$.])|\bpg_catalog\s*\.\s*)_?(?:{_TYPES})(?![\w$])")
_SAME: Final = (  # not timetz: a zone in its literal may have summer time today
    r"(?:(?:date|timestamptz|timestamp(?:\s*\(\s*\d\s*\))?(?:\s+with(?:out)?\s+time\s+zone)?"
    r"|daterange|tsrange|tstzrange|datemultirange|tsmultirange|tstzmultirange)(?:\s*\[\s*\])*)(?![\w$])"
)
# A literal that is read as a time is the same one each time, if it has no special word.
_CONSTANT: Final = re.compile(
    rf"(?:''|\bnull)\s*::\s*(?:pg_catalog\s*\.\s*)?{_SAME}|(?<![\w$.]){_SAME}\s*''|\bat\s+time\s+zone\b"
)
_ZONED: Final = re.compile(r"\bat\s+(?:time\s+zone|local)\b")
_LEXEMES: Final = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?\*/)
    |(?P<escaped>(?<![\w$])[eE]'(?:[^'\\]|\\.|'')*')
    |(?P<string>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*")
    |(?P<dollar>(?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)""",
    re.DOTALL | re.VERBOSE,
)
_ASSIGNED: Final = re.compile(
    r":=|\b(?:into|for|foreach)\b|(?:;|\b(?:begin|then|else|loop))\s*[\w$.]+\s*(?:\[[^]]*\])?\s*="
)
# A field of a record has the type of what was read into it.
_FIELD_ASSIGNED: Final = re.compile(
    r"[\w$]\s*\.\s*[\w$]+\s*(?:\[[^]]*\])?\s*:=|(?:;|\b(?:begin|then|else|loop))\s*[\w$]+\s*\.\s*[\w$]+\s*=|\binto\s+(?:strict\s+)?(?:[\w$.]+\s*,\s*)*[\w$]+\s*\."
)
_RECORD: Final = re.compile(r"\brecord\b")
_COLUMN_TYPE: Final = re.compile(r"%\s*type\b")
_COLUMN_TYPE_NAMED: Final = re.compile(r"(?:\"[^\"]+\"|[^\s.\"%]+)\s*%\s*type\b")  # as in the query catalog_policy_code
# Words behind which the name of a table is not its row type.
_BEFORE_TABLES: Final = frozenset(
    re.findall(
        r"\w+",
        """
        from join only into update table using lateral with recursive select where and or not on by when then else distinct
        return in having all any exists is
        """,
    )
)
_LAST_WORD: Final = re.compile(r"(::|[\w$]+|.)\Z", re.DOTALL)
_SCHEMA: Final = re.compile(r"[\w$]+\s*\.\s*\Z")


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type of the operator's whose name is in a text. ``table``: it is the row type of a table or view."""

    oid: int
    name: str
    table: bool


@dataclass(frozen=True, slots=True)
class Body:
    """A function's body that is a text, read anew at each call.

    Attributes:
        language: ``sql`` or ``plpgsql``; or one whose functions are compiled, and the text the name of one.
        gives: the types of its result and its output arguments.
        takes: those of its other arguments.
        named: the types that its text may name.
        columns: the types of the columns whose types it may take over (``%TYPE``).
    """

    text: str
    language: str
    gives: frozenset[int]
    takes: frozenset[int]
    named: tuple[TypeName, ...]
    columns: frozenset[int]


def body_of(row: Mapping[str, Any]) -> Body:
    """As the query ``catalog_policy_code`` has it."""
    gives, takes, columns = (frozenset(row[name]) for name in ("gives", "takes", "columns"))
    return Body(row["text"], row["language"], gives, takes, tuple(TypeName(*each) for each in row["named"]), columns)


@dataclass(frozen=True, slots=True)
class Code:
    """A policy, a view or a function. ``tree``: the node trees that PostgreSQL keeps of it; empty if there is none."""

    kind: str
    oid: int
    tree: str
    body: Body | None = None
    _read: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_read", types_read(self.tree))  # the dataclass is frozen

    def types(self) -> set[int]:
        """The types of which has to be known whether they consist of times, before :meth:`reads_times`."""
        found = set(self._read)
        if self.body is not None:
            found |= self.body.gives | self.body.takes | self.body.columns | {each.oid for each in self.body.named}
        return found

    def reads_times(self, timed: Set[int], cast: bool, zoned: bool = False) -> bool:
        """Whether it may read text as a time, or otherwise gives something else tomorrow that its text does not show.

        ``timed``: those of :meth:`types` that consist of times, among others. ``cast``: text becomes times without the name
        of a type, by a cast that the operator has made. ``zoned``: tables have columns of type ``timetz``.
        """
        if self._read & timed or functions_in(self.tree) & _BY_SYNTAX:
            return True
        if self.body is None:
            return False
        if self.body.language not in ("sql", "plpgsql"):
            return _compiled_reads(self.body, timed)
        return cast or _body_reads(self.body, timed, zoned)


def _compiled_reads(body: Body, timed: Set[int]) -> bool:
    """Whether a function in C may read text as a time: it is IMMUTABLE, or counts in any case."""
    polymorphic = bool(_POLYMORPHIC & body.gives)
    return (polymorphic or bool(timed & body.gives)) and not body.takes <= _NO_TEXT


def _body_reads(body: Body, timed: Set[int], zoned: bool) -> bool:
    text = _Text(body.text)
    if text.special or (zoned and _ZONED.search(text.plain)) or _NAMED.search(_CONSTANT.sub(" ", text.plain)):
        return True
    if any(each.oid in timed and text.names(each) for each in body.named):
        return True
    if body.language == "sql":
        return False
    if (timed | _POLYMORPHIC) & body.gives or body.columns & timed:
        return True
    if len(_COLUMN_TYPE.findall(text.plain)) > len(_COLUMN_TYPE_NAMED.findall(body.text.lower())):
        return True  # a comment is in between
    if _RECORD.search(text.plain) and _FIELD_ASSIGNED.search(text.plain):
        return True
    return bool((timed | _POLYMORPHIC) & body.takes) and _ASSIGNED.search(text.plain) is not None


class _Text:
    """The text of a body, read as far as needed.

    ``plain``: in small letters, without comments, with ``''`` for each string, and names without quotes. ``special``: a
    string has a word like ``now`` in it, or may have.
    """

    def __init__(self, source: str) -> None:
        self.special = False
        self._after_string = False
        self.plain = "".join(self._read(source)).lower()

    def _read(self, source: str) -> Iterator[str]:
        at = 0
        for found in _LEXEMES.finditer(source):
            between = source[at : found.start()]
            at = found.end()
            self._after_string = self._after_string and (not between or between.isspace())
            yield between
            yield self._lexeme(found, between)
        yield source[at:]

    def _lexeme(self, found: re.Match[str], between: str) -> str:
        text = found[0]
        if found["comment"] is not None:
            self.special = self.special or "/*" in text[2:]  # one within another: it does not end where this does
            return " "
        if found["quoted"] is not None:
            self._after_string = False
            return text[1:-1].replace('""', '"')
        escaped = "\\" in text if found["escaped"] is not None else between.lower().endswith("u&")
        # Strings in a row are one.
        self.special = self.special or escaped or self._after_string or is_special_time(text)
        self._after_string = True
        return "''"

    def names(self, type_: TypeName) -> bool:
        """Whether the text may name the type as one."""
        name = type_.name.lower()
        for found in re.finditer(rf"(?<![\w$]){re.escape(name)}(?![\w$])", self.plain):
            if not type_.table or self._as_type(found.start(), found.end()):
                return True
        return not re.fullmatch(r"[\w$]+", name) and name in self.plain

    def _as_type(self, start: int, end: int) -> bool:
        """Whether the name of a table there may be that of its row type: it stands behind ``::``, ``AS`` or another name."""
        after = self.plain[end:].lstrip()
        if after.startswith("."):
            return False
        before = _SCHEMA.sub("", self.plain[:start]).rstrip()
        last = _LAST_WORD.search(before)
        if last is None or last[0] in _BEFORE_TABLES:
            return False
        if last[0] == "as":
            return after[:1] in (")", "[", "%")
        return last[0] == "::" or last[0].replace("$", "_").isidentifier()
