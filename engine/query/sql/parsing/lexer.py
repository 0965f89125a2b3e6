"""PostgreSQL's lexical rules: where a statement's strings, names, comments, operators and ``$n`` placeholders are.

The client's SQL reaches Postgres as it was written, never as another parser prints it. What we change (placeholders, a
``*``, an appended sort key) is an edit at a token's place, so tokens must be what Postgres sees
(docs: "SQL Syntax / Lexical Structure"; standard_conforming_strings is on).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from engine.errors import InvalidQueryError

__all__ = [
    "MAX_DEPTH",
    "MAX_LENGTH",
    "Edit",
    "Rewritten",
    "Token",
    "apply",
    "identifier",
    "normalise",
    "place",
    "statement",
    "tokenize",
]

MAX_LENGTH = 20_000
MAX_DEPTH = 32
_OPERATOR_CHARACTERS = frozenset("+-*/<>=~!@#%^&|`?:")

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\n\r\f\v]+)
    | (?P<comment>--[^\n\r]*)
    | (?P<block>/\*)
    | (?P<unicode>[uU]&['"])
    | (?P<string>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*'
        | \$(?P<tag>(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?)\$.*?\$(?P=tag)\$)
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<word>(?![eE]')[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<param>\$[0-9]+)
    | (?P<number>(?:[0-9][0-9_]*(?:\.(?!\.)[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?[A-Za-z0-9_]*)
    | (?P<operator>[-+*/<>=~!@\#%^&|`?])
    | (?P<punctuation>[()\[\],;:.])
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK = re.compile(r"/\*|\*/")


@dataclass(frozen=True, slots=True)
class Token:
    """``kind``: ``word quoted string param number operator punctuation``; offsets count characters."""

    kind: str
    start: int
    end: int
    text: str

    @property
    def name(self) -> str:
        """The token as a keyword or name: a bare word folded to lower case, a quoted name unquoted; else its text."""
        return identifier(self.text) if self.kind in ("word", "quoted") else self.text

    def is_word(self, *words: str) -> bool:
        """True if the token is one of these bare words."""
        return self.kind == "word" and self.name in words


@dataclass(frozen=True, slots=True)
class Edit:
    """Put ``text`` in place of the characters from ``start`` to ``end``."""

    start: int
    end: int
    text: str


def identifier(text: str) -> str:
    """The name that ``text`` stands for: quoted as it is, bare folded to lower case (ASCII letters only, as in UTF-8)."""
    if text.startswith('"'):
        return text[1:-1].replace('""', '"')
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def tokenize(sql: str, *, bounded: bool = True) -> list[Token]:
    """The tokens of ``sql`` without spaces and comments.

    Raises ``InvalidQueryError`` for what is too long, nested too deeply (neither if not ``bounded``: text with our own
    edits in it), not terminated or not SQL at all.
    """
    if bounded and len(sql) > MAX_LENGTH:
        raise InvalidQueryError(f"the SQL is {len(sql)} characters long; at most {MAX_LENGTH} are allowed")
    if "\0" in sql or (not sql.isprintable() and any("\ud800" <= c <= "\udfff" for c in sql)):
        raise InvalidQueryError("the SQL contains a NUL character or a lone surrogate")
    tokens: list[Token] = []
    position, depth = 0, 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None or match.lastgroup is None:
            raise InvalidQueryError(
                f"the SQL cannot be read {place(sql, position)}: near {sql[position : position + 20]!r}"
            )
        kind, end = match.lastgroup, match.end()  # the outermost of its groups
        if kind == "block":
            end = _after_block(sql, position)
        elif kind == "unicode":
            raise InvalidQueryError(
                f"U& strings and names are not supported ({place(sql, position)}); write the characters"
            )
        elif kind not in ("space", "comment"):
            tokens.append(Token(kind, position, end, sql[position:end]))
            depth += (sql[position] in "([") - (sql[position] in ")]") if kind == "punctuation" else 0
            if bounded and depth > MAX_DEPTH:
                raise InvalidQueryError(f"the SQL is nested more than {MAX_DEPTH} deep")
        position = end
    return tokens


def _after_block(sql: str, start: int) -> int:
    """Where the comment that opens at ``start`` ends. Comments nest."""
    depth = 0
    for match in _BLOCK.finditer(sql, start):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    raise InvalidQueryError(f"a comment is not closed ({place(sql, start)})")


def statement(sql: str, tokens: list[Token]) -> tuple[str, list[Token]]:
    """The one statement in ``sql``, without the semicolons and comments after it.

    Raises ``InvalidQueryError`` if there is none, or more than one.
    """
    kept = list(tokens)
    while kept and kept[-1].text == ";":
        kept.pop()
    if not kept:
        raise InvalidQueryError("the SQL is empty")
    second = next((token for token in kept if token.text == ";"), None)
    if second is not None:
        raise InvalidQueryError(
            f"only one statement is allowed; a second one follows the semicolon {place(sql, second.start)}"
        )
    return sql[: kept[-1].end], kept


def normalise(sql: str, tokens: list[Token]) -> str:
    """The same text for statements that differ only in case of keywords and names, in spaces and in comments.

    Made from Postgres's own tokens, so different statements never become the same.
    """
    parts: list[str] = []
    last: Token | None = None
    for token in tokens:
        if last is not None and not (_operator(last) and _operator(token) and last.end == token.start):
            parts.append(" ")
        parts.append(identifier(token.text) if token.kind in ("word", "number") else token.text)
        last = token
    return "".join(parts)


def _operator(token: Token) -> bool:
    return token.text in _OPERATOR_CHARACTERS


def apply(sql: str, edits: Iterable[Edit]) -> str:
    """``sql`` with the edits made; they must not overlap. Of two at one place the first given comes first."""
    parts, position = [], 0
    for edit in sorted(edits, key=lambda edit: edit.start):
        parts += [sql[position : edit.start], edit.text]
        position = edit.end
    return "".join([*parts, sql[position:]])


class Rewritten:
    """A statement with edits made: ``original`` with ``edits`` is ``text``."""

    def __init__(self, original: str, edits: Iterable[Edit]) -> None:
        self.original = original
        self.edits = sorted(edits, key=lambda edit: edit.start)
        self.text = apply(original, self.edits)

    def offset(self, offset: int) -> int:
        """Where in the original it is that ``offset`` in the text is; where the edit begins for what an edit has put in."""
        shift = 0
        for edit in self.edits:
            if offset < edit.start + shift:
                break
            if offset < edit.start + shift + len(edit.text):
                return edit.start
            shift += len(edit.text) - (edit.end - edit.start)
        return offset - shift


def place(sql: str, offset: int) -> str:
    """``offset`` for people: ``at line 2, column 5``."""
    before = sql[:offset]
    return f"at line {before.count(chr(10)) + 1}, column {offset - (before.rfind(chr(10)) + 1) + 1}"
