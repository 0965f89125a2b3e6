"""Documents as ``TypedDict`` of Python, and queries for them."""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterable, Sequence
from typing import Final

from server.cli.types.names import TypeNames
from server.cli.types.python_queries import queries
from server.cli.types.shapes import ArrayOf, Collection, Field, OfType, Plain, Shape, Written, named_types, shape_of

__all__ = ["python"]

_HEAD: Final = '''"""The documents of the exposed collections. Written by `realtime types --py`; not edited by hand."""

import types
import typing
from typing import Any, Literal, TypedDict
'''
_PLAIN: Final = {
    Plain.BOOLEAN: "bool",
    Plain.INTEGER: "int",
    Plain.NUMBER: "float",
    Plain.STRING: "str",
    Plain.JSON: "Any",
}


def python(collections: Sequence[Collection]) -> str:
    """The text of the module. Types stand before those that consist of them, so nothing is quoted."""
    names = TypeNames(collections)
    parts = [_HEAD]
    for type_ in named_types(collections):
        name = names.types[type_.oid]
        if type_.kind == "enum":
            labels = f"Literal[{', '.join(map(_quoted, type_.labels))}]" if type_.labels else "Any"
            parts.append(f"{name} = {labels}\n")
        else:
            fields = [Field(field, shape_of(part), nullable=True) for field, part in type_.fields]
            parts.append(_typed_dict(name, "", fields, names))
    for each in collections:
        about = f"A document of {each.name}, a row of {each.table}."
        parts.append(_typed_dict(names.collections[each.name], about, each.fields, names))
    entries = {each.name: names.collections[each.name] for each in collections}
    parts.append(_class("Collections", "The documents by the names of their collections.", entries))
    parts += queries(collections, names, lambda shape: _text(shape, names), _quoted)
    return "\n\n".join(parts).replace(_HEAD + "\n\n", _HEAD + "\n", 1)


def _typed_dict(name: str, about: str, fields: Iterable[Field], names: TypeNames) -> str:
    return _class(name, about, {each.name: _of_field(each, names) for each in fields})


def _class(name: str, about: str, fields: dict[str, str]) -> str:
    """A class, or a call where a field's name is none of Python's, or would be mangled."""
    if not all(
        field.isidentifier() and not keyword.iskeyword(field) and not field.startswith("__") for field in fields
    ):
        entries = "".join(f"        {_quoted(field)}: {text},\n" for field, text in fields.items())
        return f"{name} = TypedDict(\n    {_quoted(name)},\n    {{\n{entries}    }},\n)\n"
    lines = [f"    {_docstring(about)}\n\n"] if about else []
    lines += [f"    {field}: {text}\n" for field, text in fields.items()]
    return f"class {name}(TypedDict):\n{''.join(lines).rstrip() or '    pass'}\n"


def _of_field(field: Field, names: TypeNames) -> str:
    text = _text(field.shape, names)
    return text if not field.nullable or text in ("Any", "object") else f"{text} | None"


def _text(shape: Shape, names: TypeNames) -> str:
    match shape:
        case ArrayOf():
            return f"list[{_text(shape.element, names)}]"
        case OfType():
            return names.types[shape.type.oid]
        case Written():
            return shape.texts.get("py") or _text(shape.otherwise, names)
        case Plain():
            return _PLAIN[shape]


def _quoted(text: str) -> str:
    """As a string of Python, which reads what JSON writes in ASCII, but for characters beyond 16 bits."""
    return json.dumps(text) if all(ord(each) < 0x10000 for each in text) else ascii(text)


def _docstring(text: str) -> str:
    line = " ".join(text.split()).replace("\\", "\\\\").replace('"', "'")
    return f'"""{line}"""'
