"""TypeScript to JavaScript by leaving the types out: what is a type becomes spaces, so lines and columns stay.

tree-sitter finds them. Of what TypeScript has beyond types only parameter properties are known, since the SDK has nothing
else of it; anything unknown is an error, not a module that might mean something else. The tests compare each module with
what TypeScript itself makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

import tree_sitter_typescript
from tree_sitter import Language, Node, Parser

from engine.errors import BunbaseError

__all__ = ["UnknownSyntaxError", "erase_types"]

_TYPES: Final = frozenset(
    {
        "type_annotation",
        "type_predicate_annotation",
        "asserts_annotation",
        "type_arguments",
        "type_parameters",
        "implements_clause",
        "accessibility_modifier",
        "override_modifier",
        "readonly",
        "interface_declaration",
        "type_alias_declaration",
        "function_signature",  # of an overload
        "method_signature",
    }
)
_BRANCHES: Final = frozenset({"as_expression", "satisfies_expression", "non_null_expression"})
_MARKED: Final = {
    "?": {"optional_parameter", "public_field_definition", "method_definition"},
    "!": {"public_field_definition", "variable_declarator"},
}
_UNKNOWN: Final = frozenset(
    {
        "abstract_class_declaration",
        "ambient_declaration",
        "decorator",
        "enum_declaration",
        "export =",
        "import_alias",
        "import_require_clause",
        "internal_module",
        "module",
        "type_assertion",
    }
)


class UnknownSyntaxError(BunbaseError):
    """The module has syntax that is more than types. The text names it and its line."""


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_typescript.language_typescript()))


def erase_types(source: str) -> str:
    """The JavaScript of a TypeScript module, with the same lines. Raises ``UnknownSyntaxError``."""
    text = source.encode()
    root = _parser().parse(text).root_node
    if root.has_error:
        raise UnknownSyntaxError("this is not TypeScript")
    out = bytearray(text)
    inserted: list[tuple[int, bytes]] = []
    for start, end in _erased(root, inserted):
        for at in range(start, end):
            if out[at] not in b"\r\n":
                out[at] = 0x20
    for at, assignments in sorted(inserted, reverse=True):
        out[at:at] = assignments
    return "\n".join(line.rstrip() for line in out.decode().split("\n"))


def _erased(node: Node, inserted: list[tuple[int, bytes]]) -> Iterator[tuple[int, int]]:
    """The ranges that are types, in bytes; ``inserted``: what is to be put where, in bytes."""
    if node.type in _UNKNOWN:
        raise UnknownSyntaxError(f"line {node.start_point.row + 1}: {node.type} is more than a type")
    if node.type in _TYPES or _of_types_alone(node) or _is_this(node):
        yield node.start_byte, _end_of(node)
        return
    if node.type == "method_definition":
        inserted += _assignments(node)
    if node.type in _BRANCHES:  # the expression, and what follows it
        expression = node.children[0]
        yield expression.end_byte, node.end_byte
        yield from _erased(expression, inserted)
        return
    for child in node.children:
        if node.type in _MARKED.get(child.type, ()):
            yield child.start_byte, child.end_byte
        else:
            yield from _erased(child, inserted)


def _of_types_alone(node: Node) -> bool:
    """Whether an import or export, or one name of it, is of types alone. An empty ``import {}`` still loads its module, as
    with ``verbatimModuleSyntax``.
    """
    if node.type in {"import_statement", "export_statement"}:
        if any(child.type == "type" for child in node.children):
            return True
        declaration = node.child_by_field_name("declaration")
        return declaration is not None and declaration.type in _TYPES
    return node.type in {"import_specifier", "export_specifier"} and node.children[0].type == "type"


def _is_this(node: Node) -> bool:
    """Whether it is the parameter that gives ``this`` a type."""
    pattern = node.child_by_field_name("pattern") if node.type == "required_parameter" else None
    return pattern is not None and pattern.type == "this"


def _end_of(node: Node) -> int:
    """With what separates it from the next one."""
    following = node.next_sibling
    separates = {
        "import_specifier": ",",
        "export_specifier": ",",
        "function_signature": ";",
        "method_signature": ";",
        "required_parameter": ",",
        "type_alias_declaration": ";",
    }.get(node.type)
    return following.end_byte if following is not None and following.type == separates else node.end_byte


def _assignments(method: Node) -> list[tuple[int, bytes]]:
    """A constructor's parameters that are fields as well: the fields, and their assignments, after ``super()`` or first."""
    parameters, body = method.child_by_field_name("parameters"), method.child_by_field_name("body")
    class_body = method.parent
    if parameters is None or body is None or class_body is None:
        return []
    names = [_name(each) for each in parameters.named_children if _is_property(each)]
    if not names:
        return []
    at = body.start_byte + 1
    for statement in body.named_children:
        if statement.type == "expression_statement" and (statement.text or b"").startswith(b"super("):
            at = statement.end_byte
            break
    declared = b"".join(b" %s;" % name for name in names)
    assigned = b"".join(b" this.%s = %s;" % (name, name) for name in names)
    return [(class_body.start_byte + 1, declared), (at, assigned)]


def _is_property(parameter: Node) -> bool:
    return any(child.type in {"accessibility_modifier", "readonly"} for child in parameter.children)


def _name(parameter: Node) -> bytes:
    pattern = parameter.child_by_field_name("pattern")
    assert pattern is not None
    assert pattern.text is not None
    return pattern.text
