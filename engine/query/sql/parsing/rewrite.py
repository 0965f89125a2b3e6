"""Edits to a client's SQL, at the places of its tokens: stars written out, a primary key added, nulls for parameters.

The first two are made only where the outermost SELECT is simple enough to know exactly what is edited.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from engine.catalog.model import Table
from engine.postgres.identifiers import quoted_name
from engine.query.sql.parsing.lexer import Edit, Token, apply
from engine.query.sql.parsing.parameters import ParameterType
from engine.query.sql.parsing.syntax import name_of, only_args
from engine.values.pg_types import Column

__all__ = ["add_key", "single_source", "star_edits", "with_nulls"]

_AFTER_ORDER = ("limit", "offset", "fetch", "for")


def single_source(tree: exp.Query | None, tables: dict[int, Table]) -> tuple[str, Table] | None:
    """The alias and table of a SELECT from exactly one exposed table; None for any other statement."""
    if not isinstance(tree, exp.Select) or tree.args.get("joins") or tree.args.get("laterals"):
        return None
    found = _sources(tree, tables)
    return next(iter(found.items())) if found is not None and len(found) == 1 else None


def _sources(tree: exp.Select, tables: dict[int, Table]) -> dict[str, Table] | None:
    """The exposed tables in the outermost FROM by alias; None if something there is not understood."""
    clause = tree.args.get("from_")
    if clause is None:
        return None
    found: dict[str, Table] = {}
    for node in (clause.this, *(join.this for join in tree.args.get("joins") or ())):
        if not isinstance(node, exp.Table) or node.args.get("joins") or node.args.get("sample"):
            return None
        alias = node.args.get("alias")
        if id(node) in tables and (alias is None or only_args(alias, "this")):
            found[name_of(alias.this) if alias else name_of(node.this)] = tables[id(node)]
    return found


def _depths(tokens: Sequence[Token]) -> list[int]:
    depths, depth = [], 0
    for token in tokens:
        depth -= token.text in (")", "]")
        depths.append(depth)
        depth += token.text in ("(", "[")
    return depths


def _select_list(tokens: Sequence[Token]) -> tuple[int, int] | None:
    """From the first token after the outermost SELECT to its FROM, as token indexes."""
    depths = _depths(tokens)
    top = [i for i, depth in enumerate(depths) if depth == 0]
    start = next((i for i in top if tokens[i].is_word("select") and not _is_label(tokens, i)), None)
    if start is None:
        return None
    for i in top:
        if i > start and tokens[i].is_word("from") and not _is_label(tokens, i) and not _distinct_from(tokens, i):
            return start + 1, i
    return None


def _distinct_from(tokens: Sequence[Token], i: int) -> bool:
    return tokens[i - 1].is_word("distinct") and tokens[i - 2].is_word("is", "not")


def _is_label(tokens: Sequence[Token], i: int) -> bool:
    """True if the word is a name there, not a keyword: after a dot or AS."""
    return i > 0 and (tokens[i - 1].text == "." or tokens[i - 1].is_word("as"))


def star_edits(tokens: Sequence[Token], tree: exp.Query | None, tables: dict[int, Table]) -> list[Edit]:
    """What writes ``*`` and ``alias.*`` of the outermost SELECT out as the exposed columns; nothing where that is not clear.

    The columns of a result are then those of the check, whatever is added to the table afterwards.
    """
    bounds = _select_list(tokens)
    sources = _sources(tree, tables) if isinstance(tree, exp.Select) else None
    if bounds is None or not sources or not isinstance(tree, exp.Select):
        return []
    depths, edits = _depths(tokens), []
    for i in range(*bounds):
        if tokens[i].text != "*" or depths[i] != 0 or not (tokens[i + 1].text == "," or i + 1 == bounds[1]):
            continue
        qualified = tokens[i - 1].text == "."
        alias = tokens[i - 2].name if qualified else next(iter(sources))
        if alias not in sources or (not qualified and single_source(tree, tables) is None):
            return []
        if qualified and tokens[i - 3].text == ".":
            return []
        columns = ", ".join(f"{quoted_name(alias)}.{quoted_name(c.name)}" for c in sources[alias].exposed_columns)
        edits.append(Edit(tokens[i - 2 if qualified else i].start, tokens[i].end, columns))
    stars = sum(1 for item in tree.expressions if item.is_star)
    return edits if len(edits) == stars else []


def add_key(sql: str, tokens: Sequence[Token], alias: str, key: Sequence[Column], names: Sequence[str]) -> str | None:
    """``sql`` with the key columns as further output columns ``names`` and as last sort keys; None if it is not clear where.

    The sort makes the order total, so that rows which are equal under the client's own ORDER BY stay in place.
    """
    bounds = _select_list(tokens)
    if bounds is None or any(token.is_word("ties") for token in tokens):
        return None
    depths = _depths(tokens)
    after = range(bounds[1], len(tokens))
    top = [i for i in after if depths[i] == 0 and not _is_label(tokens, i)]
    ordered = next((i for i in top if tokens[i].is_word("order") and tokens[i + 1].is_word("by")), None)
    tail = next((i for i in top if tokens[i].is_word(*_AFTER_ORDER) and i > (ordered or 0)), None)
    outputs = "".join(
        f", {quoted_name(alias)}.{quoted_name(c.name)} as {quoted_name(n)}" for c, n in zip(key, names, strict=True)
    )
    keys = ", ".join(f"{quoted_name(alias)}.{quoted_name(c.name)}" + _collate(c) for c in key)
    place = tokens[tail].start if tail is not None else len(sql)
    sort = Edit(place, place, f" {',' if ordered is not None else 'order by'} {keys} ")
    return apply(sql, [Edit(tokens[bounds[1]].start, tokens[bounds[1]].start, outputs + " "), sort])


def _collate(column: Column) -> str:
    return ' collate "C"' if column.collation is not None else ""


def with_nulls(sql: str, tokens: Sequence[Token], types: Sequence[ParameterType]) -> str:
    """``sql`` with a null of its type for each parameter; it refers to the same things."""
    edits = [
        Edit(token.start, token.end, f" cast(null as {types[int(token.text[1:]) - 1].name}) ")
        for token in tokens
        if token.kind == "param"
    ]
    return apply(sql, edits)
