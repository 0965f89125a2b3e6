"""Policies of a table as one condition: which apply, what they leave to PostgreSQL, and what unknown means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from engine.catalog.model import Table
from engine.catalog.policies import Policies, Policy, policies_of
from engine.postgres.statements.statement import RoleReading, Statement
from engine.query.compile.plan import IncrementalPlan, compile_incremental
from engine.query.compile.predicate import compile_predicate
from engine.query.ir.comparison import NotIncrementalError
from engine.query.ir.model import And, Predicate, Query
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.policies.conditions import Conditions
from engine.query.policies.facts import Answer, Facts, PoliciesChangedError
from engine.query.policies.table_rule import TOO_MUCH, under_policies
from engine.transaction import UNKNOWN, Row
from engine.values.pg_types import Collation, Column, TypeInfo

TEXT, INTEGER = TypeInfo(25, "text", "base", category="S"), TypeInfo(23, "integer", "base", category="N")
BOOLEAN = TypeInfo(16, "boolean", "base", category="B")
C = Collation("C", deterministic=True, bytewise=True)
COLUMNS = (
    Column("id", 1, INTEGER, field="id", not_null=True),
    Column("owner", 2, TEXT, C, field="owner"),
    Column("org", 3, INTEGER, field="org"),
    Column("open", 4, BOOLEAN, field="open"),
)
ALL_READ = frozenset({1, 2, 3, 4})
TABLE = Table(1, "public", "note", "note", COLUMNS, (0,), (0,), policed="policies", role="people", readable=ALL_READ)
ME = "((current_setting('request.jwt.claims'::text, true))::json ->> 'sub'::text)"
LINKED = "(EXISTS ( SELECT 1 FROM member m WHERE (m.org = note.org)))"
ANN, NO_USER = Answer(25, None, "ann"), Answer(25, None)
TRUE, FALSE, NULL = Answer(16, None, "t"), Answer(16, None, "f"), Answer(16, None)


def row(owner: str | None = None, org: int | None = None, opened: str | None = None) -> Row:
    values = ("1", owner, None if org is None else str(org), opened)
    return tuple([None if value is None else value.encode() for value in values])


def decided(text: str, given: Row, *answers: Answer) -> bool | None:
    """What the condition is for a row: true, false or unknown."""
    facts = Facts()
    made = Conditions(TABLE, facts).read(text)
    assert len(facts.expressions) == len(answers), facts.expressions
    return _decided(made(answers), given)


def _decided(predicate: Predicate, given: Row) -> bool | None:
    if compile_predicate(predicate, TABLE)(given):
        return True
    return False if compile_predicate(predicate, TABLE, wanted=False)(given) else None


@pytest.mark.parametrize(
    ("text", "given", "answers", "expected"),
    [
        (f"(owner = {ME})", row("ann"), [ANN], True),
        (f"(owner = {ME})", row("bob"), [ANN], False),
        (f"(owner = {ME})", row(), [ANN], None),
        (f"(owner = {ME})", row("ann"), [NO_USER], None),
        (f"(NOT (owner = {ME}))", row("ann"), [NO_USER], None),
        (f"({ME} = owner)", row("ann"), [ANN], True),
        (f"(owner IS DISTINCT FROM {ME})", row(), [ANN], True),
        (f"(owner IS DISTINCT FROM {ME})", row(), [NO_USER], False),
        (f"(owner IS DISTINCT FROM {ME})", row("ann"), [ANN], False),
        ("(me() = 'ann'::text)", row(), [TRUE], True),
        ("(me() = 'ann'::text)", row(), [FALSE], False),
        ("(NOT (me() = 'ann'::text))", row(), [NULL], None),
        ("((me() = 'ann'::text) OR (org > 1))", row(org=2), [NULL, Answer(23, None, "1")], True),
        ("((me() = 'ann'::text) AND (org > 1))", row(org=1), [NULL, Answer(23, None, "1")], False),
        ("open", row(opened="t"), [], True),
        ("open", row(), [], None),
        ("(open IS NOT TRUE)", row(), [], True),
        ("(open IS UNKNOWN)", row(), [], True),
        ("(org IS NULL)", row(org=1), [], False),
        ("(org = ANY (ARRAY[1, 2]))", row(org=2), [Answer(23, None, values=("1", "2"))], True),
        ("(org <> ALL (ARRAY[1, 2]))", row(org=2), [Answer(23, None, values=("1", "2"))], False),
        ("(org = ANY (NULL::integer[]))", row(org=2), [Answer(23, None)], None),
        ("(org IN ( SELECT m.org FROM member m))", row(), [Answer(23, None, values=())], False),
        ("(org IN ( SELECT m.org FROM member m))", row(org=3), [Answer(23, None, values=("1", None))], None),
        (LINKED, row(org=3), [Answer(23, None, values=("1", None))], False),
        (LINKED, row(), [Answer(23, None, values=("1",))], False),
        (LINKED, row(org=1), [Answer(23, None, values=("1",))], True),
        ("((org)::text = 'x'::text)", row(org=1), [Answer(25, None, "x")], False),
        ("((org)::text = 'x'::text)", row(), [Answer(25, None, "x")], None),
        ("(NOT ((org)::text = 'x'::text))", row(), [Answer(25, None, "x")], None),
        ("((org)::text <> '1'::text)", row(org=1), [Answer(25, None, "1")], False),
        ("(owner ~~ 'a%'::text)", row("ann"), [Answer(25, None, "a%")], True),
        ("(owner !~~ 'a%'::text)", row("ann"), [Answer(25, None, "a%")], False),
    ],
)
def test_conditions_are_true_false_or_unknown_as_in_sql(
    text: str, given: Row, answers: Sequence[Answer], expected: bool | None
) -> None:
    assert decided(text, given, *answers) is expected


@pytest.mark.parametrize(
    "text",
    [
        "((id % 2) = 0)",
        "(id = org)",
        "shown(note.*)",
        "(length(owner) = 3)",
        "(owner OPERATOR(public.=) 'ann'::text)",
        "(owner = ('ann'::text COLLATE \"C\"))",
        "(org IN ( SELECT m.org FROM member m WHERE (m.person = note.owner)))",
        "(EXISTS ( SELECT 1 FROM member m WHERE ((m.org = note.org) OR m.every)))",
        "(EXISTS ( SELECT 1 FROM member m WHERE (m.org = note.org) LIMIT 0))",
        "(EXISTS ( SELECT count(*) AS count FROM member m WHERE (m.org = note.org)))",
        "(EXISTS ( SELECT 1 FROM member m WHERE ((m.org = note.org) AND (m.person = note.owner))))",
        "((org = 1) IS NOT TRUE)",
        "(org < ANY (ARRAY[1, 2]))",
        "(owner @> 'x'::text)",
        "('x'::text ~~ owner)",
        "(secret = 1 = org)",
        "owner",
    ],
)
def test_what_the_predicate_language_has_no_words_for_is_refused(text: str) -> None:
    with pytest.raises(NotIncrementalError):
        Conditions(TABLE, Facts()).read(text)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("(owner = x())", Answer(20, None, "1")),
        ("(owner = x())", Answer(25, '"C"', "ann")),
        ("((org)::text < '1'::text)", Answer(25, None, "1")),
        ("((org)::numeric < 1.5)", Answer(701, None, "1.5")),
        ("(org = x())", Answer(25, None, "1")),
        ("(x() = 1)", Answer(23, None, "1")),
    ],
)
def test_a_value_of_another_type_or_collation_is_refused(text: str, answer: Answer) -> None:
    with pytest.raises(NotIncrementalError):
        decided(text.replace("(x() = 1)", "x()"), row("ann", 1), answer)


def policies(*applied: Policy, **changes: object) -> Policies:
    found = Policies(
        frozenset({1, 2}), frozenset(), frozenset(), frozenset({"sub"}), clock=False, problem=None, sources=""
    )
    return replace(found, applied={"people": applied}, own_rows=False, **changes)  # type: ignore[arg-type]


def plan_under(table: Table) -> IncrementalPlan | ReReadPlan:
    plan = compile_incremental(Query("note", And(())), table)
    assert isinstance(plan, IncrementalPlan)
    statement = Statement("select", role=RoleReading("people", "request.jwt.claims", "{}"))
    return under_policies(plan, ReReadPlan("key", statement, frozenset({1, 2}), "policed", False, ("id",)))


def facts(applied: list[int] | None, *values: list[object], schemas: str = "pg_temp_1,pg_catalog") -> str:
    return json.dumps([[schemas, applied], *values])


def test_permissive_policies_are_joined_by_or_and_restrictive_ones_by_and() -> None:
    applied = (
        Policy(10, True, "(org = 1)"),
        Policy(11, True, "(org = 2)"),
        Policy(12, False, "(owner = 'ann'::text)"),
        Policy(13, False, "(open OR (org = 1))"),
    )
    plan = plan_under(replace(TABLE, policies=policies(*applied)))
    assert isinstance(plan, IncrementalPlan)
    given = plan.given(facts([10, 11, 12, 13], [23, None, "1"], [23, None, "2"], [25, '"default"', "ann"]))
    seen = [row("ann", 1), row("ann", 2, "t"), row("ann", 2), row("bob", 1), row("ann", 3, "t"), row()]
    assert [given.matches(each) for each in seen] == [True, True, False, False, False, False]
    assert given.key == plan.key
    assert given.rule is not None
    assert given.rule.watched == frozenset(), "no fact looks into another table"


def test_without_a_permissive_policy_there_is_no_row() -> None:
    plan = plan_under(replace(TABLE, policies=policies(Policy(10, False, "true"))))
    assert isinstance(plan, IncrementalPlan)
    given = plan.given(facts([10], [16, None, "t"]))
    assert not given.matches(row("ann", 1))
    assert given.index_terms == ()


def test_other_policies_than_those_of_the_plan_are_noticed() -> None:
    plan = plan_under(replace(TABLE, policies=policies(Policy(10, True, "open"))))
    assert isinstance(plan, IncrementalPlan)
    for applied in (None, [], [10, 11]):
        with pytest.raises(PoliciesChangedError):
            plan.given(facts(applied))
    with pytest.raises(NotIncrementalError, match="search_path"):
        plan.given(facts([10], schemas="public,pg_catalog"))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (replace(TABLE, policies=policies(Policy(10, True, "((id % 2) = 0)"))), "only PostgreSQL can check"),
        (replace(TABLE, policies=policies(clock=True)), "clock"),
        (replace(TABLE, policies=policies(unusual="nextval")), "nextval"),
        (replace(TABLE, policies=replace(policies(), own_rows=True)), "the table itself"),
        (replace(TABLE, policies=replace(policies(), applied={})), "exempt"),
        (replace(TABLE, policies=None, readable=frozenset({2, 3})), "the key"),
    ],
)
def test_what_cannot_be_kept_is_reread_and_operators_have_the_reason(table: Table, reason: str) -> None:
    plan = plan_under(table)
    assert isinstance(plan, ReReadPlan)
    assert plan.detail is not None
    assert reason in plan.detail
    assert plan.reason == (TOO_MUCH if table.policies is not None else "the role may not read the key of its rows"), (
        "clients are not given what policies look at"
    )


def test_columns_that_the_role_may_not_read_are_not_known_of_rows_that_were_read() -> None:
    plan = plan_under(replace(TABLE, policies=None, readable=frozenset({1, 3})))
    assert isinstance(plan, IncrementalPlan)
    assert "null::text" in plan.read(None).sql
    [found] = plan.rows([(b"1", None, b"2", None)])
    assert found == (b"1", UNKNOWN, b"2", UNKNOWN)


def test_functions_that_are_not_known_to_return_the_same_are_named() -> None:
    def unusual(source: str, *functions: str) -> str | None:
        usual = {"volatility": "v", "problem": None, "published": True}
        rows = [{"kind": "policy", "oid": 1, "name": "p on note", "source": source, "language": None, **usual}]
        for name in functions:
            rows.append({"kind": "function", "oid": 2, "name": name, "source": "select 1", "language": "sql", **usual})
        return policies_of("note", rows, "", "request.jwt.claims").unusual

    assert unusual("(owner = lower(current_setting('x'::text)))") is None
    assert unusual("(owner = (auth.uid())::text)", "auth.uid()") is None
    assert unusual("(id = nextval('s'::regclass))") == "nextval"
    assert unusual("(id = pg_catalog.nextval('s'::regclass))") == "nextval"
    assert unusual("(id = (inet_client_addr() IS NULL)::integer)") == "inet_client_addr"


SETTING = "current_setting('request.jwt.claims'::text, true)"


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        (f"(owner = (({SETTING})::json ->> 'sub'::text))", {"sub"}),
        (f"(owner = (({SETTING})::json ->> 'it''s'::text))", {"it's"}),
        (f"select nullif({SETTING}, '')::jsonb ->> 'sub'", {"sub"}),
        (f"select ({SETTING}::jsonb -> 'app_metadata' ->> 'tenant')::uuid", {"app_metadata"}),
        # The name is computed: any claim may be read.
        (f"(owner <> COALESCE((({SETTING})::json ->> ('blo'::text || 'cked'::text)), ''::text))", None),
        (f"((({SETTING})::json ->> ('role_'::text || org)) = 'admin'::text)", None),
        (f"((({SETTING})::json ->> 'role_' || org) = 'admin'::text)", None),
        (f"((({SETTING})::json ->> ('{{x,user_id}}'::text[])[2]) = owner)", None),
        (f"select {SETTING}::json ->> 'su'\n'b'", None),
        (f"select {SETTING}::json ->> 'su' -- more\n'b'", None),
        (f"select {SETTING}::json ->> 'su' /* more */ 'b'", None),
        (f"select {SETTING}::json ->> E'su\\x62'", None),
        (f"select {SETTING}::json ->> 'a' - 1", None),
    ],
)
def test_a_claim_is_known_only_where_its_name_stands_there_whole(text: str, claims: set[str] | None) -> None:
    assert _of(text).claims == (None if claims is None else frozenset(claims))


@pytest.mark.parametrize(
    ("text", "clock"),
    [
        ("(until > now())", True),
        ('select "now"()', True),
        ("(born > uuid_extract_timestamp(uuidv7()))", True),
        ("(id = changing(1))", True),
        ("(id = steady(1))", False),
        ("(current_setting('app.closed'::text, true) IS DISTINCT FROM 'on'::text)", True),
        ("(owner = current_setting(name))", True),
        ("(owner = current_setting('request.jwt.claim.sub'::text, true))", False),
        (f"(owner = (({SETTING})::json ->> 'sub'::text))", False),
        ("(owner = 'nowhere'::text)", False),
    ],
)
def test_what_changes_without_a_commit_is_looked_at_by_time(text: str, clock: bool) -> None:
    assert _of(text).clock == clock


def test_what_reads_text_as_a_time_is_looked_at_by_time_and_is_another_state() -> None:
    row = {"kind": "policy", "oid": 1, "name": "p on note", "source": "((body)::date > '2026-01-01'::date)"}
    rows = [row | {"language": None, "volatility": "v", "problem": None, "published": True}]
    without, timed = (
        policies_of("note", rows, "", "request.jwt.claims", by_time=by_time) for by_time in ((), {("policy", 1)})
    )
    assert (without.clock, timed.clock) == (False, True)
    assert without.sources != timed.sources, "a composite type may get a column that is a time"


def _of(text: str) -> Policies:
    usual = {"language": None, "volatility": "v", "problem": None, "published": True}
    row = {"kind": "policy", "oid": 1, "name": "p on note", "source": text, **usual}
    return policies_of("note", [row], "", "request.jwt.claims", {"changing", "uuidv7"})
