"""Per PostgreSQL type, the functions that compare, sort and JSON-encode the text of a value.

A function whose result could differ from PostgreSQL's is None, and a query that needs it is re-read. Types are
distinguished by oid: those of ``pg_catalog`` are fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache

from engine.postgres.oids import BPCHAR, NUMBER_OIDS, TEXT_OIDS
from engine.values import json_form, sort_keys
from engine.values.pg_types import Collation, Column, TypeInfo
from engine.values.sort_keys import Key, same

__all__ = ["Codec", "codec_for", "column_codec"]


@dataclass(frozen=True, slots=True)
class Codec:
    """What is known of a type (and collation); every function takes text that is not null.

    ``equal``: hashable, equal exactly if PostgreSQL's ``=`` holds. ``sort`` and ``descend``: keys in the type's btree
    order and its reverse. ``json``: the value in a document. None: not reproducible. The functions raise ``LookupError``
    or ``ValueError`` for text that is not of the type (as when an enum label is newer than the catalog).
    """

    equal: Callable[[bytes], Hashable] | None = None
    sort: Key | None = None
    descend: Key | None = None
    json: json_form.Encoder | None = None


def _plain(json: json_form.Encoder) -> Codec:
    """A type whose text is canonical and sorts as its bytes do."""
    return Codec(same, same, sort_keys.descending_bytes, json)


_INTEGER = Codec(same, int, sort_keys.descending_int, same)
_FLOAT = Codec(sort_keys.ascending_float, sort_keys.ascending_float, sort_keys.descending_float, json_form.json_number)
_QUOTED_INTEGER = Codec(same, int, sort_keys.descending_int, json_form.json_quoted)

_BY_OID: dict[int, Codec] = {
    16: Codec(same, sort_keys.ascending_bool, sort_keys.descending_bool, json_form.json_bool),
    17: _plain(json_form.json_bytea),
    18: Codec(same, sort_keys.ascending_char, sort_keys.descending_char, json_form.json_text),
    20: _INTEGER,
    21: _INTEGER,
    23: _INTEGER,
    26: _QUOTED_INTEGER,  # oid: a string in JSON (json_categorize_type)
    28: Codec(equal=same, json=json_form.json_quoted),  # xid: no order
    114: Codec(json=same),  # json has no equality
    650: Codec(equal=same, json=json_form.json_quoted),  # cidr
    700: _FLOAT,
    701: _FLOAT,
    774: _plain(json_form.json_quoted),  # macaddr8
    829: _plain(json_form.json_quoted),  # macaddr
    869: Codec(equal=same, json=json_form.json_quoted),  # inet
    1082: Codec(same, sort_keys.ascending_moment, sort_keys.descending_moment, json_form.json_quoted),
    1083: _plain(json_form.json_quoted),  # time
    1114: Codec(same, sort_keys.ascending_moment, sort_keys.descending_moment, json_form.json_timestamp),
    1184: Codec(same, sort_keys.ascending_moment, sort_keys.descending_moment, json_form.json_timestamptz),
    1186: Codec(
        sort_keys.ascending_interval, sort_keys.ascending_interval, sort_keys.descending_interval, json_form.json_quoted
    ),
    1266: Codec(same, sort_keys.ascending_timetz, sort_keys.descending_timetz, json_form.json_quoted),
    1560: _plain(json_form.json_quoted),  # bit: padded with zeros, so its digits sort as varbit_cmp does
    1562: _plain(json_form.json_quoted),  # varbit
    1700: Codec(
        sort_keys.ascending_numeric, sort_keys.ascending_numeric, sort_keys.descending_numeric, json_form.json_number
    ),
    2950: _plain(json_form.json_quoted),  # uuid
    3220: Codec(same, sort_keys.ascending_lsn, sort_keys.descending_lsn, json_form.json_quoted),
    3802: Codec(json=same),  # jsonb: 1.0 equals 1 inside
    5069: _QUOTED_INTEGER,  # xid8
}
_FIRST_USER_OID = 16384
# int2vector and oidvector print without braces; what reg* types print depends on the search path
_UNPREDICTABLE_OIDS = frozenset({22, 30, 24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191, 8326})


def column_codec(column: Column) -> Codec:
    """The codec of a column's type under its collation."""
    return codec_for(column.type, column.collation)


@lru_cache(maxsize=4096)
def codec_for(type_: TypeInfo, collation: Collation | None = None) -> Codec:
    """The codec of a type; a domain has that of its base type."""
    type_ = type_.underlying
    if any(part.oid in _UNPREDICTABLE_OIDS for part in type_.parts()):
        return Codec()
    if type_.oid in TEXT_OIDS:
        return _text_codec(collation, padded=type_.oid == BPCHAR)
    if type_.oid in _BY_OID:
        return _BY_OID[type_.oid]
    if type_.kind == "array" and type_.element is not None:
        return _array_codec(type_.element, collation)
    if type_.kind == "composite":
        return _record_codec(type_)
    json = None if type_.json_cast else json_form.json_text
    if type_.kind == "enum":
        ascending, descending = sort_keys.enum_keys(type_.labels)
        return Codec(same, ascending, descending, json and json_form.json_enum(type_.labels))
    return Codec(json=json)


def _text_codec(collation: Collation | None, *, padded: bool) -> Codec:
    """Text is equal if its UTF-8 is, under a deterministic collation, and sorts as that does under a bytewise one."""
    if collation is None or not (collation.deterministic and collation.injective):
        return Codec(json=json_form.json_text)
    equal = sort_keys.ascending_bpchar if padded else same
    if not collation.bytewise:
        return Codec(equal=equal, json=json_form.json_text)
    descend = sort_keys.descending_bpchar if padded else sort_keys.descending_bytes
    return Codec(equal, equal, descend, json_form.json_text)


def _array_codec(element: TypeInfo, collation: Collation | None) -> Codec:
    """Where the elements' text is canonical so is the array's (array_eq compares bounds too)."""
    of = codec_for(element, collation)
    equal = same if of.equal is same else None
    if of.json is None:
        return Codec(equal=equal)
    verbatim = element.underlying.oid in NUMBER_OIDS
    # A domain's own typdelim is ',' but array_out uses that of the element type as it is, domain or not.
    return Codec(equal=equal, json=json_form.json_array(of.json, element.delimiter.encode(), verbatim=verbatim))


def _record_codec(type_: TypeInfo) -> Codec:
    fields: list[tuple[str, json_form.Encoder]] = []
    for name, field_type in type_.fields:
        encoder = codec_for(field_type).json
        if encoder is None:
            return Codec()
        fields.append((name, encoder))
    return Codec(json=json_form.json_record(tuple(fields)))
