"""Row changes as wal2json prints them, and how their JSON values become PostgreSQL's text output again.

wal2json prints numbers bare, booleans as true/false, bytea as hexadecimal digits without ``\\x``, and everything else as
a string of the type's text output. It decides by the column's own type: values of domains, arrays and composites are
always strings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

import msgspec

from engine.feed.decoders.base import MalformedStreamError, TableDescription
from engine.transaction import UNCHANGED, UNKNOWN, Change, Kind, Relation, RelationColumn, Value

__all__ = ["CHANGES", "Layout", "Shape", "layout_for", "unescape"]

_BYTEA: Final = 17
_NUMBERS_WITH_NAN: Final = frozenset((700, 701, 1700))  # float4, float8, numeric

Tuple = tuple[Value, ...]
Reader = Callable[[bytes], Value]

_decode_string: Final = msgspec.json.Decoder(str).decode


class _Column(msgspec.Struct, gc=False):
    name: str
    typeoid: int
    value: msgspec.Raw


class _Row(msgspec.Struct, gc=False):
    columns: list[_Column] = []
    identity: list[_Column] = []


class _Name(msgspec.Struct):
    name: str
    typeoid: int


_row_decoder: Final = msgspec.json.Decoder(_Row)
_decode_name: Final = msgspec.json.Decoder(_Name).decode


def _decode_row(raw: bytes) -> _Row:
    try:
        return _row_decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _malformed(raw, error) from error


def _malformed(raw: bytes, problem: object) -> MalformedStreamError:
    return MalformedStreamError(f"wal2json sent a malformed message {raw[:200]!r}: {problem}")


def unescape(raw: bytes) -> bytes:
    """The text behind a JSON string (with its quotes). Raises ``MalformedStreamError``."""
    if b"\\" not in raw:
        return raw[1:-1]
    try:
        return _decode_string(raw).encode()
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise _malformed(raw, error) from error


def _read(raw: bytes) -> Value:
    if raw[0] == 0x22:
        return unescape(raw)
    if raw == b"null":
        return None
    if raw == b"true":
        return b"t"
    if raw == b"false":
        return b"f"
    if raw[0] in b"[{":
        raise _malformed(raw, "a value is a string, a number, a boolean or null")
    return raw


def _read_bytea(raw: bytes) -> Value:
    if raw == b"null":
        return None
    if raw[0] != 0x22:
        raise _malformed(raw, "a value of type bytea is a string or null")
    return b"\\x" + raw[1:-1]


def _read_number(raw: bytes) -> Value:
    # Before wal2json 2.6, NaN and the infinities are printed as null, so a null is not certain.
    return UNKNOWN if raw == b"null" else _read(raw)


def _reader(type_oid: int, exact_numbers: bool) -> Reader:
    if type_oid == _BYTEA:
        return _read_bytea
    return _read_number if type_oid in _NUMBERS_WITH_NAN and not exact_numbers else _read


class Shape(msgspec.Struct, frozen=True, array_like=True):
    """What decides how the columns of a message become rows of ``relation``.

    ``positions`` and ``types`` belong to the streamed columns, in their order. ``as_expected``: the message's columns are
    those of the catalog.
    """

    relation: Relation
    positions: tuple[int, ...]
    types: tuple[int, ...]
    full: bool
    exact_numbers: bool
    as_expected: bool


class Layout:
    """How the messages of one shape become rows. Layouts are equal if their shapes are."""

    __slots__ = ("_readers", "shape")

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._readers = tuple(_reader(oid, shape.exact_numbers) for oid in shape.types)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self.shape == other.shape

    def __hash__(self) -> int:
        return hash(self.shape)

    @property
    def relation(self) -> Relation:
        """The table, with the columns of the rows."""
        return self.shape.relation

    def new_row(self, columns: list[_Column], identity: list[_Column]) -> Tuple:
        """The row after the change. A column that the message omits was not changed, or is not (or no longer) there."""
        if len(columns) != len(self.shape.positions):
            raise MalformedStreamError(f"wal2json sent {len(columns)} columns of {len(self.shape.positions)} names")
        row: list[Value] = [UNCHANGED if self.shape.as_expected else UNKNOWN] * len(self.relation.columns)
        for position, read, column in zip(self.shape.positions, self._readers, columns, strict=True):
            row[position] = read(bytes(column.value))
        if self.shape.full and len(columns) < len(row):  # the old row was sent whole, and with it the values left alone
            old, sent = self.old_row(identity), set(self.shape.positions)
            return tuple(value if i in sent else old[i] for i, value in enumerate(row))
        return tuple(row)

    def old_row(self, identity: list[_Column]) -> Tuple:
        """The identity columns; the others None, or under REPLICA IDENTITY FULL unknown."""
        index = {column.name: i for i, column in enumerate(self.relation.columns)}
        row: list[Value] = [UNKNOWN if self.shape.full else None] * len(index)
        for column in identity:
            if column.name in index:
                row[index[column.name]] = _reader(column.typeoid & 0xFFFFFFFF, self.shape.exact_numbers)(
                    bytes(column.value)
                )
        return tuple(row)

    def moved(self, columns: list[_Column], identity: list[_Column]) -> bool:
        """Whether the identity columns changed: without an old tuple, wal2json prints them from the new one."""
        new = {column.name: bytes(column.value) for column in columns}
        for column in identity:
            before = bytes(column.value)
            ambiguous = _reader(column.typeoid & 0xFFFFFFFF, self.shape.exact_numbers)(before) is UNKNOWN
            if ambiguous or before != new.get(column.name, before):
                return True
        return False


def layout_for(
    description: TableDescription,
    kind: Kind,
    names: tuple[bytes, ...],
    exact_numbers: bool,
    derived: dict[tuple[RelationColumn, ...], Relation],
) -> Layout:
    """The layout of messages that list ``names`` (each ``"name","typeoid":oid``).

    The catalog may be ahead of the stream or behind it. Names and types are the stream's; a column that only the catalog
    knows stays, as unknown; one that only the stream knows comes last. ``derived`` keeps such relations, one object each.
    """
    streamed = [_decode_name(b'{"name":' + name + b"}") for name in names]
    types = {column.name: column.typeoid & 0xFFFFFFFF for column in streamed}
    base = description.relation
    known = {column.name: column for column in base.columns}
    # Virtual generated columns are printed (as null) by no version that matters, stored ones by all.
    as_expected = all(n in known and known[n].type_oid == oid for n, oid in types.items()) and (
        kind is not Kind.INSERT or len(types) == len(known)
    )
    relation = base
    if not as_expected:
        columns = [_typed(column, types.get(column.name)) for column in base.columns]
        columns += [RelationColumn(n, oid, -1, False) for n, oid in types.items() if n not in known]
        relation = derived.setdefault(
            tuple(columns),
            Relation(base.oid, base.schema, base.name, base.replica_identity, tuple(columns)),
        )
    index = {column.name: i for i, column in enumerate(relation.columns)}
    positions = tuple(index[n] for n in types)
    return Layout(Shape(relation, positions, tuple(types.values()), description.full, exact_numbers, as_expected))


def _typed(column: RelationColumn, type_oid: int | None) -> RelationColumn:
    if type_oid is None or type_oid == column.type_oid:
        return column
    return RelationColumn(column.name, type_oid, -1, column.is_key, column.attnum)


class _Insert(msgspec.Struct, gc=False):
    layout: Layout
    raw: bytes
    kind: ClassVar[Kind] = Kind.INSERT

    @property
    def relation(self) -> Relation:
        return self.layout.relation

    def new(self) -> Tuple | None:
        return self.layout.new_row(_decode_row(self.raw).columns, [])

    def old(self) -> Tuple | None:
        return None


class _Update(msgspec.Struct, gc=False):
    layout: Layout
    raw: bytes
    kind: ClassVar[Kind] = Kind.UPDATE

    @property
    def relation(self) -> Relation:
        return self.layout.relation

    def new(self) -> Tuple | None:
        row = _decode_row(self.raw)
        return self.layout.new_row(row.columns, row.identity)

    def old(self) -> Tuple | None:
        row = _decode_row(self.raw)
        if self.layout.shape.full or self.layout.moved(row.columns, row.identity):
            return self.layout.old_row(row.identity)
        return None


class _Delete(msgspec.Struct, gc=False):
    layout: Layout
    raw: bytes
    kind: ClassVar[Kind] = Kind.DELETE

    @property
    def relation(self) -> Relation:
        return self.layout.relation

    def new(self) -> Tuple | None:
        return None

    def old(self) -> Tuple | None:
        return self.layout.old_row(_decode_row(self.raw).identity)


CHANGES: Final[dict[Kind, Callable[[Layout, bytes], Change]]] = {
    Kind.INSERT: _Insert,
    Kind.UPDATE: _Update,
    Kind.DELETE: _Delete,
}
"""The change class of each kind of row message."""
