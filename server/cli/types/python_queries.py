"""Queries as classes of Python, for type checkers: the fields of a collection, their operators and their values.

Python has no type of the names of a ``TypedDict``, so each collection has overloads of ``where``, those for the fields of
one type together. Which operators a column has is PostgreSQL's to decide; here is what its JSON shows, as in the SDK for
TypeScript (``typed_query.ts``). When the program runs, the classes are empty, and ``bunbase`` is not imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from server.cli.types.names import TypeNames
from server.cli.types.shapes import ArrayOf, Collection, Field, OfType, Plain, Shape, Written

__all__ = ["queries"]

_NUMBER: Final = "float | decimal.Decimal"
_PLAIN: Final = {
    Plain.BOOLEAN: "bool",
    Plain.INTEGER: _NUMBER,
    Plain.NUMBER: f'{_NUMBER} | Literal["NaN", "Infinity", "-Infinity"]',
    Plain.STRING: "str",
    Plain.JSON: "object",
}

_PYRIGHT: Final = "  # pyright: ignore[reportIncompatibleMethodOverride]"
"""As mypy's ``override``: what takes fewer names is no worse here, for no query is made but by ``collection``."""

_HEAD: Final = """\
if typing.TYPE_CHECKING:
    import decimal
    from collections import abc

    import bunbase

    _Compare = Literal["==", "!=", "<", "<=", ">", ">="]
    _Any = Literal["==", "!=", "<", "<=", ">", ">=", "in", "not-in", "array-contains", "array-contains-any", "like", "ilike"]
    _D = typing.TypeVar("_D", bound=abc.Mapping[str, Any])
    _D_co = typing.TypeVar("_D_co", bound=abc.Mapping[str, Any], covariant=True)
"""

_CLASSES: Final = """\
    class _{fields}s:
{overloads}
        @typing.overload
        def where(self, field: abc.Mapping[str, Any]) -> typing.Self: ...

        def where(self, field: Any, operator: Any = None, value: Any = None) -> typing.Self: ...

        def order_by(
            self,
            field: {fields},
            direction: Literal["asc", "desc"] = "asc",
            nulls: Literal["nulls-first", "nulls-last"] | None = None,
        ) -> typing.Self: ...
"""

_QUERY: Final = """\
    class {query}(_{fields}s, bunbase.{base}[_D_co]):  # type: ignore[misc]
        @typing.overload  # type: ignore[override]
        def select(self, field: {fields}, *more: {fields}) -> "{query}[abc.Mapping[str, Any]]": ...

        @typing.overload
        def select(self, field: {fields}, *more: {fields}, document: type[_D]) -> "{query}[_D]": ...

        def select(self, field: Any, *more: Any, document: Any = None) -> Any: ...{pyright}
"""

_OVERLOAD: Final = """\
        @typing.overload
        def where(self, field: Literal[{fields}], operator: {operator}{value}) -> typing.Self: ...
"""

_COLLECTION: Final = """
        @typing.overload{ignored}
        def collection(self, name: Literal[{name}]) -> {query}[{document}]: ...

        @typing.overload
        def collection(self, name: Literal[{name}], document: type[_D]) -> {query}[_D]: ...
"""


class _Names:
    """The names that a module has for queries, by collection; unlike all others of it."""

    def __init__(self, collections: Sequence[Collection], names: TypeNames) -> None:
        of = names.collections
        self.fields = {each.name: names.further(f"{of[each.name]}Field") for each in collections}
        self.queries = {each.name: names.further(f"{of[each.name]}Query") for each in collections}
        self.sync_queries = {each.name: names.further(f"Sync{of[each.name]}Query") for each in collections}
        self.database, self.sync_database = names.further("TypedDatabase"), names.further("SyncTypedDatabase")


def queries(
    collections: Sequence[Collection], names: TypeNames, text: Callable[[Shape], str], quoted: Callable[[str], str]
) -> list[str]:
    """The parts of the module after the documents. ``text``: the type of a document's value, ``quoted``: a string."""
    further = _Names(collections, names)
    aliases = [
        f"{further.fields[each.name]} = Literal[{', '.join(quoted(field.name) for field in each.fields)}]\n"
        for each in collections
    ]
    classes = [_HEAD]
    for each in collections:
        fields = further.fields[each.name]
        classes.append(_CLASSES.format(fields=fields, overloads="\n".join(_overloads(each.fields, text, quoted))))
        classes.append(_QUERY.format(query=further.queries[each.name], fields=fields, base="Query", pyright=_PYRIGHT))
        classes.append(
            _QUERY.format(query=further.sync_queries[each.name], fields=fields, base="SyncQuery", pyright=_PYRIGHT)
        )
    for name, base, of in (
        (further.database, "Database", further.queries),
        (further.sync_database, "SyncDatabase", further.sync_queries),
    ):
        classes.append(_database(name, base, [(quoted(each), of[each], names.collections[each]) for each in of]))
    empty = [*further.queries.values(), *further.sync_queries.values(), further.sync_database]
    stands = "\n    ".join(["", *(f"{name} = {further.database}" for name in empty)])
    run = (
        f'else:\n\n    class {further.database}:\n        """For type checkers: when the program runs it is empty."""\n\n'
        f"        __class_getitem__ = classmethod(types.GenericAlias)\n{stands}\n"
    )
    return ["\n".join(aliases), "\n".join([*classes, run])] if collections else []


def _database(name: str, base: str, collections: Iterable[tuple[str, str, str]]) -> str:
    overloads = [
        _COLLECTION.format(
            name=each, query=query, document=document, ignored="" if at else "  # type: ignore[override]"
        )
        for at, (each, query, document) in enumerate(collections)
    ]
    body = (
        "".join(overloads)[1:]
        + f"\n        def collection(self, name: Any, document: Any = None) -> Any: ...{_PYRIGHT}\n"
    )
    return f"    class {name}(bunbase.{base}):\n{body}"


def _overloads(fields: Iterable[Field], text: Callable[[Shape], str], quoted: Callable[[str], str]) -> list[str]:
    """The overloads of ``where``: each for all fields that take the same."""
    by: dict[tuple[str, str], list[str]] = {}
    for field in fields:
        for operator, value in [('Literal["is-null", "is-not-null"]', ""), *_operators(field.shape, text)]:
            by.setdefault((operator, value), []).append(quoted(field.name))
    return [
        _OVERLOAD.format(fields=", ".join(names), operator=operator, value=value and f", value: {value}")
        for (operator, value), names in by.items()
    ]


def _operators(shape: Shape, text: Callable[[Shape], str]) -> list[tuple[str, str]]:
    """What a field can be compared by, and with."""
    base = shape.otherwise if isinstance(shape, Written) else shape
    if base is Plain.JSON:
        return [("_Any", "object")]
    value = text(shape) if isinstance(shape, Written) else _value(base, text)
    found = [("_Compare", value), ('Literal["in", "not-in"]', _several(base, value))]
    if base is Plain.STRING or (isinstance(base, OfType) and base.type.kind == "enum"):
        found.append(('Literal["like", "ilike"]', "str"))
    if isinstance(base, ArrayOf):
        element = "object" if isinstance(shape, Written) else _value(base.element, text)
        several = _several(base.element, element)
        found += [('Literal["array-contains"]', element), ('Literal["array-contains-any"]', several)]
    return found


def _value(shape: Shape, text: Callable[[Shape], str]) -> str:
    match shape:
        case Plain():
            return _PLAIN[shape]
        case ArrayOf():
            return _several(shape.element, _value(shape.element, text))
        case OfType() if shape.type.kind != "enum":
            return "object"  # PostgreSQL compares composites as text
        case _:
            return text(shape)


def _several(shape: Shape, value: str) -> str:
    """A list of such values. A text is a sequence of texts, but no list."""
    sequence = isinstance(shape, Plain) and shape is not Plain.STRING
    return f"abc.Sequence[{value}]" if sequence else f"list[{value}] | tuple[{value}, ...]"
