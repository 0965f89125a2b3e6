"""Documents as types of TypeScript, for the SDK's ``Realtime<Collections>``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Final

from server.cli.types.names import TypeNames
from server.cli.types.shapes import ArrayOf, Collection, Field, OfType, Plain, Shape, Written, named_types, shape_of

__all__ = ["typescript"]

_HEAD: Final = "// The documents of the exposed collections. Written by `realtime types --ts`; not edited by hand.\n"
_PLAIN: Final = {
    Plain.BOOLEAN: "boolean",
    Plain.INTEGER: "number",
    Plain.NUMBER: "number",
    Plain.STRING: "string",
    Plain.JSON: "unknown",
}
_BARE: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def typescript(collections: Sequence[Collection]) -> str:
    """The text of the file."""
    names = TypeNames(collections)
    parts = [_HEAD]
    for type_ in named_types(collections):
        name = names.types[type_.oid]
        if type_.kind == "enum":
            labels = " | ".join(map(_quoted, type_.labels)) or "never"
            parts.append(f"export type {name} = {labels};\n")
        else:
            fields = [Field(field, shape_of(part), nullable=True) for field, part in type_.fields]
            parts.append(_interface(name, fields, names))
    for each in collections:
        about = f"/** A document of `{_commented(each.name)}`, a row of {_commented(each.table)}. */\n"
        parts.append(about + _interface(names.collections[each.name], each.fields, names))
    entries = (f"  {_key(each.name)}: {names.collections[each.name]};\n" for each in collections)
    about = "/** The documents by the names of their collections, for `new Realtime<Collections>()`. */\n"
    parts.append(f"{about}export interface Collections {{\n{''.join(entries)}}}\n")
    return "\n".join(parts)


def _interface(name: str, fields: Iterable[Field], names: TypeNames) -> str:
    lines = "".join(f"  {_key(each.name)}: {_of_field(each, names)};\n" for each in fields)
    return f"export interface {name} {{\n{lines}}}\n"


def _of_field(field: Field, names: TypeNames) -> str:
    text = _text(field.shape, names)
    if not field.nullable or text == "unknown":
        return text
    return f"({text}) | null" if isinstance(field.shape, Written) else f"{text} | null"


def _text(shape: Shape, names: TypeNames) -> str:
    match shape:
        case ArrayOf():
            return f"{_text(shape.element, names)}[]"
        case OfType():
            return names.types[shape.type.oid]
        case Written():
            return shape.texts.get("ts") or _text(shape.otherwise, names)
        case Plain():
            return _PLAIN[shape]


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _commented(name: str) -> str:
    """A name that neither ends the comment nor the line."""
    return " ".join(name.replace("*/", "* /").split())
