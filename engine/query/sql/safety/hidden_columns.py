"""Tables with hidden columns are read as if they had the exposed ones only.

Postgres resolves names before privileges count: hidden columns take part in ``*``, in NATURAL JOIN, in lists of aliases and
in whole rows, and its messages name them. So each place in FROM that names such a table becomes a subquery of its exposed
columns. Then there is no other column that a name could mean; whatever Postgres answers is what it would answer if the
hidden ones did not exist. The planner pulls such a subquery up (docs: "Rules and Privileges" is about views; the same code,
``pull_up_subqueries``), so the plan is the table's.

A subquery has no primary key, though, and GROUP BY of a key allows the table's other columns ungrouped (docs: "GROUP BY
Clause", functional dependency). For that there is a second form: the table itself, its columns renamed in FROM so that no
name in the statement can mean a hidden one. It serves only where Postgres accepts it as a whole, privileges included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlglot import exp

from engine.catalog.model import Table
from engine.errors import InvalidQueryError
from engine.postgres.identifiers import quoted_name
from engine.query.sql.parsing.lexer import Edit, Rewritten, Token
from engine.query.sql.parsing.rewrite import star_edits
from engine.query.sql.parsing.syntax import Reference
from engine.query.sql.safety.dry_run import SqlSession
from engine.query.sql.safety.refusals import not_exposed

__all__ = ["Read", "concealed"]

_MAX_TEXT = 1_000_000

Columns = Sequence[tuple[str, bool]]
"""All columns of a table in its order: name, and whether clients may see it."""

Read = tuple[Reference, Table]
"""A place where an exposed table is named."""


async def concealed(
    session: SqlSession, sql: str, tokens: Sequence[Token], tree: exp.Query | None, read: Sequence[Read]
) -> list[Rewritten]:
    """The statement with stars written out and hidden columns out of reach; with GROUP BY in the second form, too."""
    tables = {table.oid: table for _, table in read}
    every = await session.columns(tables)
    columns = _with_hidden(every, tables)
    nodes = {id(reference.node): table for reference, table in read if reference.node is not None}
    stars = star_edits(tokens, tree, nodes)
    forms = [Rewritten(sql, stars + _conceal(tokens, read, columns))]
    if len(forms[0].text) > _MAX_TEXT:
        raise InvalidQueryError("the SQL names tables with many columns too often")
    # What PUBLIC may read is kept back by the first form alone, not by privileges.
    guarded = all(columns.get(oid, found) == found for oid, found in every.items())
    if columns and guarded and any(token.is_word("group") for token in tokens):
        renaming = _rename(tokens, read, columns)
        forms += [Rewritten(sql, stars + renaming)] if renaming is not None else []
    return forms


def _with_hidden(columns: Mapping[int, Columns], tables: Mapping[int, Table]) -> dict[int, Columns]:
    """The ``columns`` of those tables of which clients may not see all. Visible is what is granted and in the catalog."""
    found: dict[int, Columns] = {}
    for oid, every in columns.items():
        exposed = {column.name for column in tables[oid].exposed_columns}
        seen = [(name, visible and name in exposed) for name, visible in every]
        if not all(visible for _, visible in seen):
            found[oid] = seen
    return found


def _conceal(tokens: Sequence[Token], read: Sequence[Read], columns: Mapping[int, Columns]) -> list[Edit]:
    """The edits that hide columns of tables, given the ``columns`` of those (by oid) that have hidden ones."""
    places = _places(tokens, read, columns)
    edits = [_subquery(tokens, place, columns[place.table.oid]) for place in places]
    return edits + _qualifiers(tokens, places)


def _rename(tokens: Sequence[Token], read: Sequence[Read], columns: Mapping[int, Columns]) -> list[Edit] | None:
    """The second form; None if FROM renames the columns of such a table already, or has TABLE."""
    taken = {token.name for token in tokens}
    edits = []
    for place in _places(tokens, read, columns):
        if place.is_statement or place.renames:
            return None
        names = []
        for number, (name, visible) in enumerate(columns[place.table.oid], 1):
            hidden = f"hidden {number}"
            while hidden in taken:
                hidden += "_"
            names.append(quoted_name(name if visible else hidden))
        end = tokens[place.alias or place.last].end
        prefix = "" if place.alias else f" as {quoted_name(place.name)}"
        edits.append(Edit(end, end, f"{prefix} ({', '.join(names)})"))
    return edits


class _Place:
    """Where a table with hidden columns is named: from token ``first`` to ``last``, ONLY and ``*`` included.

    ``alias`` is the token of its alias, None if it has none; ``renames``: a list of columns follows the alias.
    ``is_statement``: it is ``TABLE name``.
    """

    def __init__(self, tokens: Sequence[Token], index: int, table: Table) -> None:
        self.table = table
        self.name = tokens[index].name
        self.first = self.last = index
        while self.first > 1 and tokens[self.first - 1].text == ".":
            self.first -= 2
        if self.first < index - 2:
            raise not_exposed(self.name)  # with a database before its schema
        if tokens[self.first - 1].is_word("only"):
            self.first -= 1
        elif tokens[self.first - 1].text == "(" and tokens[self.first - 2].is_word("only"):
            self.first, self.last = self.first - 2, index + 1
        self.is_statement = tokens[self.first - 1].is_word("table")
        after = [*tokens[self.last + 1 : self.last + 5], *[_END] * 4]
        if after[0].text == "*":
            self.last += 1
            after.pop(0)
        self.alias = self.last + 1 if after[0].kind == "quoted" or _is_alias(after[0]) else None
        if after[0].is_word("as"):
            self.alias = self.last + 2
        self.renames = self.alias is not None and after[self.alias - self.last].text == "("


_END = Token("end", 0, 0, "")
_NO_ALIAS = (
    *("where", "group", "having", "window", "order", "limit", "offset", "fetch", "for", "union", "intersect", "except"),
    *("join", "inner", "left", "right", "full", "cross", "natural", "on", "using", "tablesample", "as"),
)  # what can follow a table; none of them can be an alias without AS (docs: "SQL Key Words")


def _is_alias(token: Token) -> bool:
    return token.kind == "word" and token.name not in _NO_ALIAS


def _places(tokens: Sequence[Token], read: Sequence[Read], columns: Mapping[int, Columns]) -> list[_Place]:
    by_start = {token.start: index for index, token in enumerate(tokens)}
    places = []
    for reference, table in read:
        if table.oid not in columns:
            continue
        index = by_start.get(reference.start)
        if index is None or tokens[index].name != reference.name:
            raise InvalidQueryError(f'the SQL cannot be read: where the table "{reference.name}" is named is not clear')
        places.append(_Place(tokens, index, table))
    return places


def _subquery(tokens: Sequence[Token], place: _Place, columns: Columns) -> Edit:
    start, end = tokens[place.first].start, tokens[place.last].end
    relation = " ".join(token.text for token in tokens[place.first : place.last + 1])
    select = f"select {', '.join(quoted_name(name) for name, visible in columns if visible)} from {relation}"
    if place.is_statement:  # TABLE name is a SELECT of its own
        return Edit(tokens[place.first - 1].start, end, select)
    return Edit(start, end, f"({select})" + ("" if place.alias else f" as {quoted_name(place.name)}"))


def _qualifiers(tokens: Sequence[Token], places: Sequence[_Place]) -> list[Edit]:
    """``schema.table.column`` without the schema: a subquery has none. Only where the name can mean one table alone."""
    named = Counter(
        token.name
        for index, token in enumerate(tokens)
        if token.kind in ("word", "quoted") and not (index + 1 < len(tokens) and tokens[index + 1].text == ".")
    )
    bare = {(place.table.schema, place.name) for place in places if place.alias is None and named[place.name] == 1}
    return [
        Edit(tokens[i].start, tokens[i + 1].end, "")
        for i in range(len(tokens) - 4)
        if tokens[i + 1].text == "."
        and tokens[i + 3].text == "."
        and (i == 0 or tokens[i - 1].text != ".")
        and (tokens[i].name, tokens[i + 2].name) in bare
    ]
