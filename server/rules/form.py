"""What is known of an expression of CEL from its tokens: iterations, and iterations inside others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["MAX_EXPRESSION", "bound_names", "fields_of", "form_problem", "iterates", "parts_of"]

MAX_EXPRESSION: Final = 4096
"""Characters; the same in ``realtime.rule_problem()``."""

_SPACE: Final = r"(?:\s|//[^\n]*\n)*"  # a comment may stand wherever a space may
_TOKENS: Final = re.compile(
    r"""(?P<text>(?:[bB]?[rR]|[rR][bB])(?:\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''|"[^"\n]*"|'[^'\n]*')"""  # no escapes in it
    r"""|[bB]?(?:\"\"\"(?:\\[\s\S]|[^\\])*?\"\"\"|'''(?:\\[\s\S]|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))"""
    r"""|(?P<comment>//[^\n]*)"""
    rf"""|(?P<loop>\.{_SPACE}(?:all|exists|exists_one|existsOne|map|filter|transformList|transformMap){_SPACE}\()"""
    r"""|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<strict>[=!]==)|(?P<join>&&|\|\|)|(?P<choice>\?)"""
)
_BOUND: Final = re.compile(
    rf"\.{_SPACE}(?:all|exists|exists_one|existsOne|map|filter){_SPACE}\({_SPACE}([A-Za-z_]\w*){_SPACE},"
)


def form_problem(text: str) -> str | None:
    """Why the expression is not compiled at all; None: it may be."""
    if not text.strip():
        return "an expression is not empty; write true or false"
    if len(text) > MAX_EXPRESSION:
        return f"an expression has at most {MAX_EXPRESSION} characters"
    open: list[bool] = []  # for each bracket that is open: whether it is that of an iteration
    for kind in _kinds(text):
        if kind == "strict":
            return "CEL compares with == and !=, not with === and !=="
        if kind == "loop" and any(open):
            return "an iteration (all, exists, map, filter) inside another one is not allowed"
        if kind in ("loop", "open"):
            open.append(kind == "loop")
        elif kind == "close" and open:
            open.pop()
    return None


def iterates(text: str) -> bool:
    """Whether the expression goes through a list with ``all``, ``exists``, ``map`` or ``filter``."""
    return "loop" in _kinds(text)


def bound_names(text: str) -> frozenset[str]:
    """The names that iterations give to the elements they go through."""
    return frozenset(_BOUND.findall(text))


def fields_of(text: str, variable: str) -> frozenset[str] | None:
    """The fields of ``variable`` (or of a field, as ``auth.claims``) that the expression names; None if it may use it in
    another way.
    """
    path = re.escape(variable)
    named = re.findall(rf"\b{path}\.([A-Za-z_]\w*)\b(?!{_SPACE}\()", text)
    return frozenset(named) if len(named) == len(re.findall(rf"\b{path}\b", text)) else None


def parts_of(text: str) -> list[str]:
    """The conditions that ``&&`` and ``||`` join, those in parentheses as one. Only the whole where ``?:`` chooses."""
    depth, begin, parts = 0, 0, []
    for token in _TOKENS.finditer(text):
        kind = token.lastgroup
        if kind in ("open", "loop"):
            depth += 1
        elif kind == "close":
            depth -= 1
        elif kind == "choice" and depth == 0:
            return [text.strip()]
        elif kind == "join" and depth == 0:
            parts.append(text[begin : token.start()].strip())
            begin = token.end()
    return [*parts, text[begin:].strip()]


def _kinds(text: str) -> Iterator[str]:
    for found in _TOKENS.finditer(text):
        yield found.lastgroup or ""
