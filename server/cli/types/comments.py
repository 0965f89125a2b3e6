"""Types in comments on columns, for what the catalog does not know: ``comment on column todos.at is '@ts { by: string }'``.

``@ts`` and ``@py`` begin a type, which ends with its line or before the other one. The text goes into a file that is
compiled or imported, and each owner of a table writes comments. So a text of TypeScript stays within its own field:
brackets are closed, and nothing outside of them ends a type. One of Python is an expression of names, subscripts, unions
and constants. Another text is refused.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import Final

from engine.errors import RealtimeError

__all__ = ["TypeCommentError", "types_in"]

_MARK: Final = re.compile(r"(?:^|\s)@(ts|py)[ \t]+(.*?)(?=[ \t]+@(?:ts|py)[ \t]|$)", re.MULTILINE)
_QUOTED: Final = re.compile(r""" "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' """, re.VERBOSE)
_CLOSING: Final = {")": "(", "]": "[", "}": "{", ">": "<"}
_PARTS_OF_PYTHON: Final = (
    ast.Expression, ast.Name, ast.Attribute, ast.Subscript, ast.BinOp, ast.BitOr, ast.Tuple, ast.List, ast.Constant,
    ast.Load,
)  # fmt: skip


class TypeCommentError(RealtimeError):
    """A comment has a type that cannot be one; the message names the column."""


def types_in(comments: Iterable[tuple[int, int, str, str]]) -> dict[tuple[int, int], dict[str, str]]:
    """The types by table and number of the column, each by language, from (oid, attnum, column's name, comment).

    Raises ``TypeCommentError``.
    """
    found: dict[tuple[int, int], dict[str, str]] = {}
    for oid, attnum, column, comment in comments:
        texts = {language: _READ[language](text.strip()) for language, text in _MARK.findall(comment)}
        for language, text in texts.items():
            if text is None:
                raise TypeCommentError(
                    f"the comment on {column} has no type of its language after @{language}: {comment!r}"
                )
        if texts:
            found[oid, attnum] = {language: text for language, text in texts.items() if text is not None}
    return found


def _typescript(text: str) -> str | None:
    """The text, if its brackets match and no ``;`` or comma is outside of them, without comments and templates."""
    bare = _QUOTED.sub("0", text)
    if not bare or re.search(r"//|/\*|[`'\"]", bare) or not bare.isprintable():
        return None
    open_brackets: list[str] = []
    for character in bare.replace("=>", "  "):
        if character in "([{<":
            open_brackets.append(character)
        elif character in _CLOSING:
            if not open_brackets or open_brackets.pop() != _CLOSING[character]:
                return None
        elif character in ";," and not open_brackets:
            return None
    return None if open_brackets else text


def _python(text: str) -> str | None:
    """The expression, as Python itself writes it."""
    try:
        parsed = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return ast.unparse(parsed) if all(isinstance(node, _PARTS_OF_PYTHON) for node in ast.walk(parsed)) else None


_READ: Final = {"ts": _typescript, "py": _python}
