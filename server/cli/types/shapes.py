"""What the JSON of an exposed table's rows looks like, before it is written in any language.

By type it is what ``engine.values`` and ``row_to_json`` make of a value (docs/guides/live-queries.md, "Values as JSON").
Three things that few tables have are not in the types, so that those of all others stay simple: NaN and infinities, which
are strings; nulls among the elements of an array; arrays of several dimensions. A comment on the column may give a better
type (``server/cli/types/comments.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from engine.catalog.model import Catalog, Table
from engine.postgres.oids import JSON_OIDS, NUMBER_OIDS
from engine.values.pg_types import Column, TypeInfo

__all__ = ["ArrayOf", "Collection", "Field", "OfType", "Plain", "Shape", "Written", "collections_of", "named_types"]

_BOOLEAN = 16
_INTEGERS = frozenset({20, 21, 23})
_VECTORS = {22: True, 30: False}  # int2vector and oidvector, by whether their elements are numbers


class Plain(Enum):
    """A JSON value without parts. ``JSON``: any value."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    STRING = "string"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class ArrayOf:
    """An array of values of one shape."""

    element: Shape


@dataclass(frozen=True, slots=True)
class OfType:
    """An enum, as one of its labels, or a composite type, as an object: each has a name of its own."""

    type: TypeInfo


@dataclass(frozen=True, slots=True)
class Written:
    """A type as the comment on a column has it: by language, ``ts`` or ``py``."""

    texts: Mapping[str, str]
    otherwise: Plain | ArrayOf | OfType


Shape = Plain | ArrayOf | OfType | Written


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a document. ``nullable``: it may be null."""

    name: str
    shape: Shape
    nullable: bool


@dataclass(frozen=True, slots=True)
class Collection:
    """An exposed table."""

    name: str
    table: str
    fields: tuple[Field, ...]


def collections_of(catalog: Catalog, comments: Mapping[tuple[int, int], Mapping[str, str]]) -> list[Collection]:
    """The exposed collections by name; ``comments``: types from the comments on columns, by table and number."""
    tables = sorted(catalog.by_collection.values(), key=lambda table: table.collection)
    return [_collection(table, comments) for table in tables]


def _collection(table: Table, comments: Mapping[tuple[int, int], Mapping[str, str]]) -> Collection:
    fields = [_field(column, comments.get((table.oid, column.attnum))) for column in table.exposed_columns]
    return Collection(table.collection, f"{table.schema}.{table.name}", tuple(fields))


def _field(column: Column, texts: Mapping[str, str] | None) -> Field:
    shape = shape_of(column.type)
    return Field(column.field, Written(texts, shape) if texts else shape, nullable=not column.not_null)


def shape_of(type_: TypeInfo) -> Plain | ArrayOf | OfType:
    """What values of a type look like in JSON. A domain is what its base type is."""
    base = type_.underlying
    if base.oid in _VECTORS:
        return ArrayOf(Plain.INTEGER if _VECTORS[base.oid] else Plain.STRING)
    if base.kind == "array" and base.element is not None:
        return ArrayOf(shape_of(base.element))
    if base.oid in JSON_OIDS or base.json_cast:
        return Plain.JSON
    if base.kind in ("enum", "composite"):
        return OfType(base)
    if base.oid == _BOOLEAN:
        return Plain.BOOLEAN
    if base.oid in NUMBER_OIDS:
        return Plain.INTEGER if base.oid in _INTEGERS else Plain.NUMBER
    return Plain.STRING


def named_types(collections: Iterable[Collection]) -> list[TypeInfo]:
    """The enums and composites that the documents use: enums by name, then composites, each after those it consists of."""
    found: dict[int, TypeInfo] = {}
    for collection in collections:
        for field in collection.fields:
            shape = field.shape
            _add(shape.otherwise if isinstance(shape, Written) else shape, found)
    enums = sorted((each for each in found.values() if each.kind == "enum"), key=lambda each: each.name)
    return enums + [each for each in found.values() if each.kind == "composite"]


def _add(shape: Shape, found: dict[int, TypeInfo]) -> None:
    """Add what ``shape`` names, parts first."""
    if isinstance(shape, ArrayOf):
        _add(shape.element, found)
    elif isinstance(shape, OfType) and shape.type.oid not in found:
        for _, part in shape.type.fields:
            _add(shape_of(part), found)
        found[shape.type.oid] = shape.type
