"""Types, collations and columns as the database describes them: plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

__all__ = ["Collation", "Column", "TypeInfo"]


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """A data type, without modifier (``varchar``, not ``varchar(5)``).

    ``name`` can be used in SQL whatever the search path. ``kind`` is ``base``, ``enum``, ``domain``, ``array``,
    ``composite``, ``range`` or ``multirange``; ``base`` is a domain's underlying type (itself maybe a domain),
    ``element`` an array's; ``spans`` a range's subtype, or the range of a multirange; ``labels`` an enum's in their
    declared order; ``fields`` a composite's. ``delimiter`` separates the elements of an array of this type.
    ``json_cast``: a user-made cast to json decides how values of this type look in JSON. ``category`` is
    ``pg_type.typcategory`` (``S``: string types). ``relation`` is the oid of the ``pg_class`` entry that holds a
    composite's attributes (for a table's row type, the table), else 0.
    """

    oid: int
    name: str
    kind: str
    base: TypeInfo | None = None
    element: TypeInfo | None = None
    labels: tuple[str, ...] = ()
    fields: tuple[tuple[str, TypeInfo], ...] = ()
    delimiter: str = ","
    json_cast: bool = False
    category: str = "U"
    relation: int = 0
    spans: TypeInfo | None = None

    def parts(self) -> Iterator[TypeInfo]:
        """This type and every type it is made of."""
        yield self
        for part in (self.base, self.element, self.spans, *(field for _, field in self.fields)):
            if part is not None:
                yield from part.parts()

    @property
    def underlying(self) -> TypeInfo:
        """The type behind a domain (through domains over domains); any other type itself."""
        found = self
        while found.base is not None:
            found = found.base
        return found

    @property
    def compared(self) -> TypeInfo:
        """The type as which values are compared, and literals read: without domains, whose modifiers would round a literal.

        ``price`` over ``numeric(6,2)`` is ``numeric`` (as PostgreSQL has it: docs, "Operator Type Resolution"), and
        ``price[]`` is ``numeric[]``.
        """
        found = self.underlying
        element = found.element
        if element is None or element.base is None or element.underlying.element is not None:
            return found
        base = element.underlying
        return replace(found, name=f"{base.name}[]", element=base)


@dataclass(frozen=True, slots=True)
class Collation:
    """How text of a column is compared.

    ``bytewise``: order is that of the UTF-8 bytes. ``deterministic``: equal means equal bytes. ``ascii_case``:
    upper and lower case are distinguished for ASCII letters only (the C locale's character classes).

    What the encoding of the database makes of the UTF-8 that it is sent as: ``injective``: no two texts become the same;
    ``c_is_utf8``: ``COLLATE "C"`` orders as the UTF-8 bytes do; ``characters``: a character there is a character in UTF-8.
    """

    name: str
    deterministic: bool
    bytewise: bool
    ascii_case: bool = False
    injective: bool = True
    c_is_utf8: bool = True
    characters: bool = True


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``generated`` is ``pg_attribute.attgenerated``; ``field`` the name clients use.

    ``exposed``: clients may see and query it. ``streamed``: the replication stream carries it.
    """

    name: str
    attnum: int
    type: TypeInfo
    collation: Collation | None = None
    not_null: bool = False
    generated: str = ""
    field: str = ""
    exposed: bool = True
    streamed: bool = True
