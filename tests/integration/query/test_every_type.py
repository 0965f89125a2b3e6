"""Every type, every operator, every order and cursor: the answer is PostgreSQL's, or a refusal in words of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from engine.catalog.model import Table
from engine.errors import InvalidQueryError
from engine.postgres.statements.one_statement import describe
from engine.postgres.statements.statement import Statement
from engine.query import asking
from engine.query.builder.parse import parse_query
from engine.query.compile.plan import IncrementalPlan, compile_incremental
from engine.query.compile.to_sql import render_documents
from engine.query.literals import canonicalise
from engine.query.planner import plan_query
from engine.query.sql.safety.refusals import rejection
from engine.values.nested import array_tokens
from server.cli.local_postgres import LocalPostgres
from tests.conftest import database_on
from tests.integration.query.conftest import Oracle, connected
from tests.support.postgres.other_version import OTHER_VERSION
from tests.support.values.every_type import KINDS, SETUP, Kind

pytestmark = pytest.mark.long

_SQL = {"==": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_REFUSALS = (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError)


def _literal(text: str, kind: Kind) -> str:
    """The value as SQL has it: a number as it is, anything else as a string of no type."""
    if kind.numbers and text not in ("NaN", "Infinity", "-Infinity"):
        return text
    return "'" + text.replace("'", "''") + "'" + (f"::{kind.base}" if kind.base else "")


def _json(text: str, name: str, kind: Kind) -> object:
    """The value as a client would send it."""
    base = (kind.base or kind.type).partition("(")[0]
    if kind.element:
        return _list(text, documents=base in ("json[]", "jsonb[]"))
    if base in ("json", "jsonb", "ddoc"):
        return json.loads(text, parse_float=Decimal, parse_int=int)
    if base == "bool":
        return text == "t"
    if kind.numbers or base in ("real",):
        return text if text in ("NaN", "Infinity", "-Infinity") else json.loads(text, parse_float=Decimal)
    return text


def _list(text: str, *, documents: bool) -> list[object]:
    """An array's text as a JSON array of texts."""
    stack: list[list[object]] = [[]]
    for mark, item in array_tokens(text.encode()):
        if mark == b"{":
            stack.append([])
        elif mark == b"}":
            inner = stack.pop()
            stack[-1].append(inner)
        elif not mark:
            stack[-1].append(None if item is None else json.loads(item) if documents else item.decode())
    [found] = stack[0]
    assert isinstance(found, list)
    return found


def _setup(server_version: int) -> str:
    statements = [SETUP]
    for name, kind in KINDS.items():
        if kind.since <= server_version:
            statements.append(f'create table "t_{name}" (id int primary key, v {kind.type});')
            rows = [*kind.rows, *kind.rows[:1]]
            values = ", ".join(f"({number}, '{row.replace(chr(39), chr(39) * 2)}')" for number, row in enumerate(rows))
            statements.append(f'insert into "t_{name}" values {values}, (100, null), (101, null);')
            statements.append(f"select realtime.expose('\"t_{name}\"', name => '{name}');")
    return "\n".join(statements)


@pytest.fixture(scope="module", params=["pg18", "pg15"])
def typed(request: pytest.FixtureRequest) -> Iterator[Oracle]:
    server: LocalPostgres = request.getfixturevalue(request.param)
    with database_on(server) as dsn, asyncio.Runner() as runner, connected(dsn, runner) as found:
        found.execute(_setup(found.connection.info.server_version))
        found.reload()
        yield found


@pytest.fixture
def verdicts_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PostgreSQL reports about a statement without values is asked for once, not again for each value that it may have:
    that would be most of the statements, and nothing that they depend on changes.
    """
    for where, name in ((asking, "_judge"), (asking._Directly, "describe"), (asking._AsReader, "describe")):
        monkeypatch.setattr(where, name, _kept(getattr(where, name)))


def _kept(ask: Callable[[Any, str], Awaitable[None]]) -> Callable[[Any, str], Awaitable[None]]:
    verdicts: dict[str, Exception | None] = {}

    async def first(asked: Any, sql: str) -> None:
        if sql not in verdicts:
            try:
                await ask(asked, sql)
            except Exception as refusal:
                verdicts[sql] = refusal
                raise
            verdicts[sql] = None
        if (refused := verdicts[sql]) is not None:
            raise refused

    return first


class Case:
    """One table of ``KINDS``, asked in both ways."""

    def __init__(self, oracle: Oracle, name: str, problems: list[str]) -> None:
        self.oracle = oracle
        self.name = name
        self.kind = KINDS[name]
        self.table: Table = oracle.catalog.by_collection[name]
        self.problems = problems
        self.v = f"v::{self.kind.base}" if self.kind.base else "v"
        columns = ", ".join(f'"{column.name}"' for column in self.table.columns)
        self.rows = oracle.run(Statement(f'select {columns} from "t_{name}"'))

    def sql(self, rest: str) -> list[str] | None:
        """The ids of ``select … from … {rest}``; None if PostgreSQL refuses."""
        try:
            rows = self.oracle.run(Statement(f'select id from "t_{self.name}" {rest}'))
        except _REFUSALS:
            return None
        return [row[0].decode() for row in rows if isinstance(row[0], bytes)]

    def live(self, spec: dict[str, object]) -> list[str] | InvalidQueryError:
        """The ids that the live query has, whichever way it is kept."""
        try:
            query = self.oracle.runner.run(
                canonicalise(parse_query(spec, self.table), self.table, self.oracle.connection)
            )
        except InvalidQueryError as refused:
            return refused
        reread = [row[0].decode() for row in self.oracle.run(render_documents(query, self.table)) if row[0]]
        plan = compile_incremental(query, self.table)
        if isinstance(plan, IncrementalPlan):
            kept = [plan.doc_id(row) for row in sorted(filter(plan.matches, self.rows), key=plan.sort_key)]
            assert kept == reread, (self.name, spec, kept, reread)
        return reread

    def same(self, spec: dict[str, object], rest: str, operator: str) -> None:
        """Note a problem where the two differ."""
        try:
            live = self.live(spec)
        except (psycopg.Error, AssertionError) as error:
            self.problems.append(f"{self.name} {spec}: {type(error).__name__}: {error}")
            return
        sql = self.sql(rest)
        if isinstance(live, InvalidQueryError):
            if sql is not None and operator not in self.kind.refused:
                self.problems.append(f"{self.name} {spec}: refused ({live}), and SQL gives {sql}")
            elif not str(live).startswith(("field 'v'", "'orderBy': field 'v'")) or "operator does not exist" in str(
                live
            ):
                self.problems.append(f"{self.name} {spec}: {live}")
        elif sql is None:
            self.problems.append(f"{self.name} {spec}: {live}, and SQL refuses")
        elif live != sql:
            self.problems.append(f"{self.name} {spec}: {live}, and SQL gives {sql}")

    def conditions(self) -> None:
        for text in (*self.kind.rows, *self.kind.more):
            literal, value = _literal(text, self.kind), _json(text, self.name, self.kind)
            if value is None or text.startswith("["):  # bounds have no JSON
                continue
            for operator, sign in _SQL.items():
                self.same({"where": [["v", operator, value]]}, f"where {self.v} {sign} {literal} order by id", operator)
            listed = [value, _json(self.kind.rows[0], self.name, self.kind)]
            members = f"({literal}, {_literal(self.kind.rows[0], self.kind)})"
            self.same({"where": [["v", "in", listed]]}, f"where {self.v} in {members} order by id", "in")
            self.same({"where": [["v", "not-in", listed]]}, f"where {self.v} not in {members} order by id", "not-in")
        for word, test in (("is-null", "is null"), ("is-not-null", "is not null")):
            self.same({"where": [["v", word]]}, f"where v {test} order by id", word)
            self.same({"where": [{"not": ["v", word]}]}, f"where not (v {test}) order by id", word)

    def orders(self) -> None:
        for word, nulls, is_null in (("asc", "last", False), ("desc", "first", True)):
            self.same({"orderBy": [["v", word]]}, f"order by v {word}, id", "order")
            for text in (*self.kind.rows, *self.kind.more):
                value = _json(text, self.name, self.kind)
                literal = _literal(text, self.kind)
                if value is None or text.startswith("["):
                    continue
                for cursor, sign in (("startAt", ">="), ("startAfter", ">"), ("endAt", "<="), ("endBefore", "<")):
                    sign = sign if word == "asc" else sign.translate(str.maketrans("<>", "><"))
                    with_nulls = (
                        " or v is not distinct from null" if cursor.startswith("start") is (not is_null) else ""
                    )
                    self.same(
                        {"orderBy": [["v", word]], cursor: [value]},
                        f"where {self.v} {sign} {literal}{with_nulls} order by v {word} nulls {nulls}, id",
                        "order",
                    )

    def in_sql(self) -> None:
        """The same conditions as a client's SQL, its literals written out and as parameters."""
        for text in self.kind.more:
            literal = _literal(text, self.kind)
            self.same_sql(f"{self.v} = {literal}", [])
            self.same_sql(f"{self.v} = $1", [text])
            self.same_sql(f"{self.v} in ({literal}, {_literal(self.kind.rows[0], self.kind)})", [])

    def same_sql(self, condition: str, params: list[str]) -> None:
        rest = f"where {condition} order by id"
        spec = {"sql": f'select * from "t_{self.name}" {rest}', "params": params}
        quoted = [f"'{param.replace(chr(39), chr(39) * 2)}'" for param in params]
        sql = self.sql(rest.replace("$1", quoted[0] if quoted else ""))
        try:
            plan = self.oracle.runner.run(plan_query(self.name, spec, self.oracle.catalog, self.oracle.connection))
        except InvalidQueryError as refused:
            if sql is not None:
                self.problems.append(f"{self.name} {spec}: refused ({refused}), and SQL gives {sql}")
            return
        except psycopg.Error as error:
            self.problems.append(f"{self.name} {spec}: {type(error).__name__}: {error}")
            return
        if isinstance(plan, IncrementalPlan):
            live = [plan.doc_id(row) for row in sorted(filter(plan.matches, self.rows), key=plan.sort_key)]
        else:
            live = [row[0].decode() for row in self.oracle.run(plan.statement) if row[0]]
        if live != sql:
            self.problems.append(f"{self.name} {spec}: {live}, and SQL gives {sql}")

    def refusals(self) -> int:
        """Clients' SQL that PostgreSQL refuses for want of an operator is refused in the builder's words; how many were."""
        literal = "'" + self.kind.rows[0].replace("'", "''") + "'"
        conditions = [f"v {sign} {form}" for sign in _SQL.values() for form in (literal, "$1")]
        rests = [f"where {c}" for c in (*conditions, f"v in ({literal})", "v = any (array[$1])", "v between $1 and $2")]
        found = 0
        for rest in (*rests, "order by v", "group by v, id"):
            sql = f'select id from "t_{self.name}" {rest}'
            try:
                if "$" in rest:
                    self.oracle.runner.run(describe(self.oracle.connection, sql))
                else:
                    self.oracle.run(Statement(sql))
            except psycopg.Error as error:
                if error.sqlstate not in ("42883", "42725"):
                    continue
                found += 1
                reported = str(rejection(error, sql if error.diag.statement_position else ""))
                named = reported.startswith(("field 'v' (", "'v' cannot be ordered"))
                inside = not error.diag.statement_position and reported.startswith("a value of the query cannot be")
                raw = "operator does not exist" in reported
                if raw or "cast it to a type that has one" not in reported or not (named or inside):
                    self.problems.append(f"{self.name} {rest}: {reported}")
        return found

    def elements(self) -> None:
        if not self.kind.element:
            return
        literal = "'" + self.kind.element + "'"
        element = self.table.by_name["v"].type.underlying.element
        assert element is not None
        value = _json(self.kind.element, self.name, Kind(element.underlying.name, ()))
        if element.underlying.name in ("integer", "numeric"):
            value = json.loads(self.kind.element, parse_float=Decimal)
        base = element.underlying.name
        self.same(
            {"where": [["v", "array-contains", value]]},
            f"where {literal}::{base} = any (v::{base}[]) order by id",
            "array-contains",
        )
        self.same(
            {"where": [["v", "array-contains-any", [value]]]},
            f"where {literal}::{base} = any (v::{base}[]) order by id",
            "array-contains",
        )


@pytest.mark.usefixtures("verdicts_kept")
def test_a_live_query_over_any_type_has_the_rows_that_sql_gives(typed: Oracle) -> None:
    """Orders and cursors of a type on one of the servers: they are half of the questions, and alike on both."""
    problems: list[str] = []
    newest = typed.connection.info.server_version >= 160000
    for number, (name, kind) in enumerate(KINDS.items()):
        if kind.since <= typed.connection.info.server_version:
            case = Case(typed, name, problems)
            case.conditions()
            if newest is (number % 2 == 0) or OTHER_VERSION is not None:
                case.orders()
            case.elements()
    assert not problems, f"{len(problems)}:\n" + "\n".join(problems)


def test_an_operator_that_a_type_lacks_is_refused_in_words_of_ours_in_sql_too(typed: Oracle) -> None:
    problems: list[str] = []
    found = {
        name: Case(typed, name, problems).refusals()
        for name, kind in KINDS.items()
        if kind.since <= typed.connection.info.server_version
    }
    assert not problems, f"{len(problems)}:\n" + "\n".join(problems)
    for name in ("xid", "cid", "dmood", "plain", "plains", "spot", "opaques"):
        assert found[name], name


def test_a_literal_in_a_clients_sql_is_not_changed_by_the_columns_modifier(typed: Oracle) -> None:
    problems: list[str] = []
    for name, kind in KINDS.items():
        modified = "(" in kind.type or kind.type in (
            "dtime",
            "dtext",
            "dbits",
            "dpad",
            "dspan",
            "price",
            "dprices",
            "price[]",
        )
        if modified and kind.since <= typed.connection.info.server_version:
            Case(typed, name, problems).in_sql()
    assert not problems, f"{len(problems)}:\n" + "\n".join(problems)
