"""The rule of a table for one role: all its policies as one condition of an incremental window, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from engine.catalog.model import Table
from engine.catalog.policies import Policies
from engine.errors import InvalidQueryError
from engine.query.compile.plan import IncrementalPlan
from engine.query.compile.rule import Rule, Shown
from engine.query.ir.comparison import NotIncrementalError
from engine.query.ir.model import And, Or, Predicate
from engine.query.ir.reread_plan import ReReadPlan
from engine.query.policies.conditions import Conditions
from engine.query.policies.facts import Answers, Facts, Made, answers_in
from engine.query.policies.looked_for import fact_of, searched

__all__ = ["TOO_MUCH", "under_policies"]

TOO_MUCH: Final = "the policies of its table have conditions that only PostgreSQL can check"
"""Why a query is re-read, in words for clients."""
_NO_KEY: Final = "the role may not read the key of its rows"


def under_policies(plan: IncrementalPlan, otherwise: ReReadPlan) -> IncrementalPlan | ReReadPlan:
    """``plan``, made for a table as the subscriber's role sees it, kept under the policies for the role.

    ``otherwise``: the same query read as the role. It is returned, with the reason, if the policies are more than Python can
    decide. Clients are not given the policies' own text: it names what is hidden.
    """
    table, policies = plan.table, plan.table.policies
    facts = Facts()
    try:
        _check_rows(table)
        made, applied = (_everything, None) if policies is None else _condition_of(table, policies, facts)
    except (NotIncrementalError, InvalidQueryError) as reason:
        return replace(otherwise, reason=_NO_KEY if policies is None else TOO_MUCH, detail=str(reason))
    role = otherwise.statement.role
    assert role is not None
    calls = policies is not None and bool(policies.functions)
    watched = otherwise.dependencies - {table.oid} if facts.looks_up or calls else frozenset[int]()
    searches = _searches(policies, facts, watched)

    def shows(text: str) -> Shown:
        answers = answers_in(text, applied)
        return Shown(made(answers), None if searches is None else searched(searches, answers))

    rule = Rule(
        role=replace(role, facts=facts.statement(table.oid, table.settings)),
        shows=shows,
        watched=watched,
        calls=calls,
        otherwise=otherwise,
    )
    return replace(plan, visibility=otherwise.visibility, rule=rule)


def _searches(policies: Policies | None, facts: Facts, watched: frozenset[int]) -> list[tuple[str, int]] | None:
    """What is looked for in the one watched table: columns, and the facts with the values; None: any row may be of concern.

    A function or a view may look at any row of the table, whatever the policy itself looks for.
    """
    if policies is None or len(watched) != 1 or facts.searches is None or policies.views or policies.functions_read:
        return None
    [table] = watched
    return [(search.column, facts.add("array", fact_of(search, table))) for search in facts.searches]


def _everything(_: Answers) -> Predicate:
    return And(())


def _check_rows(table: Table) -> None:
    """Raise ``NotIncrementalError`` if the role cannot read by what rows are known."""
    for index in (*table.primary_key, *table.identity):
        if table.columns[index].attnum not in table.readable:
            raise NotIncrementalError(f"the role {table.role} may not read the key of {table.schema}.{table.name}")


def _condition_of(table: Table, policies: Policies, facts: Facts) -> tuple[Made, tuple[int, ...]]:
    """The condition that a row must meet, and the oids of the policies that it consists of."""
    name = f"{table.schema}.{table.name}"
    applied = policies.applied.get(table.role)
    if applied is None:
        raise NotIncrementalError(f"the role {table.role} is exempt from row-level security of {name}")
    if policies.clock:
        raise NotIncrementalError(f"the policies of {name} depend on the clock, or on system catalogs")
    if policies.unusual is not None:
        raise NotIncrementalError(f"the policies of {name} call {policies.unusual}()")
    if policies.own_rows:
        raise NotIncrementalError(f"the policies of {name} look at rows of the table itself")
    conditions = Conditions(table, facts)
    permissive = [conditions.read(policy.condition) for policy in applied if policy.permissive]
    restrictive = [conditions.read(policy.condition) for policy in applied if not policy.permissive]
    return _combined(permissive, restrictive), tuple(policy.oid for policy in applied)


def _combined(permissive: Sequence[Made], restrictive: Sequence[Made]) -> Made:
    """One of the permissive ones, and all restrictive ones (docs: CREATE POLICY; no permissive one: no row)."""

    def made(answers: Answers) -> Predicate:
        one = Or(tuple(each(answers) for each in permissive))
        return And((one, *(each(answers) for each in restrictive)))

    return made
