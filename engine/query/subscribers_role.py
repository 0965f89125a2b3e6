"""Whose rows a plan reads: those of the subscriber's role and claims, where PostgreSQL decides which these are."""

from __future__ import annotations

from dataclasses import replace

from engine.catalog.model import Catalog
from engine.catalog.rights import claims_read, rights_on
from engine.identity.visibility import Viewer, Visibility
from engine.postgres.statements.statement import Guard, RoleReading
from engine.query.compile.plan import IncrementalPlan
from engine.query.ir.reread_plan import ReReadPlan

__all__ = ["for_claims", "is_for_any_claims", "read_as"]


def read_as(viewer: Viewer, plan: IncrementalPlan | ReReadPlan, seen: Catalog) -> IncrementalPlan | ReReadPlan:
    """``plan``, made for the tables as ``seen`` by the viewer's role, with its visibility.

    A table that is the same for all is read as ``realtime_reader``, and all subscribers with the role share what is read.
    With another table among those of the plan, or functions that may read claims, the statement runs as the role.
    """
    if viewer.role not in seen.roles:
        return _for_all_with(viewer.visibility, plan)
    oids = plan.dependencies if isinstance(plan, ReReadPlan) else {plan.table.oid}
    tables = [seen.by_oid[oid] for oid in oids]
    policed = [table for table in tables if table.policed is not None]
    if isinstance(plan, IncrementalPlan) or not (policed or plan.calls_own):
        assert not policed  # see the planner: such a plan is read again otherwise
        return _for_all_with(Visibility(viewer.role), plan)
    settings = seen.settings.get(viewer.role, ())
    visibility = viewer.reads(None if plan.calls_own else claims_read(policed), rights_on(policed, settings))
    under = [(table.oid, table.policies) for table in policed if table.policies is not None]
    policies = [each for _, each in under]
    guards = [
        Guard(oid, tuple(sorted(each.tables)), tuple(sorted(each.functions | each.views)), each.mark, each.names)
        for oid, each in under
    ]
    role = RoleReading(viewer.role, seen.claims_setting, visibility.claims.decode(), tuple(guards), settings)
    return replace(
        plan,
        statement=replace(plan.statement, role=role),
        dependencies=plan.dependencies.union(*(each.tables for each in policies)),
        time_dependent=plan.time_dependent or any(each.clock for each in policies),
        visibility=visibility,
    )


def _for_all_with(visibility: Visibility, plan: IncrementalPlan | ReReadPlan) -> IncrementalPlan | ReReadPlan:
    return plan if plan.visibility == visibility else replace(plan, visibility=visibility)


def is_for_any_claims(plan: IncrementalPlan | ReReadPlan) -> bool:
    """Whether a plan of a builder's query is the same for all claims but for the claims in it (:func:`for_claims`).

    Not where reading the query's values, or writing its rows, may call functions of the operator: they may read claims.
    """
    read = plan.rule.otherwise if isinstance(plan, IncrementalPlan) and plan.rule is not None else plan
    return isinstance(read, ReReadPlan) and read.statement.role is not None and not read.statement.by_path


def for_claims(plan: IncrementalPlan | ReReadPlan, visibility: Visibility) -> IncrementalPlan | ReReadPlan:
    """``plan``, made for a subscriber with the same role, for one with the claims of ``visibility``."""
    visibility = replace(visibility, rights=plan.visibility.rights)
    if isinstance(plan, ReReadPlan):
        return _read_with(plan, visibility)
    assert plan.rule is not None
    otherwise = _read_with(plan.rule.otherwise, visibility)
    role = replace(plan.rule.role, claims=visibility.claims.decode())
    return replace(plan, visibility=visibility, rule=replace(plan.rule, role=role, otherwise=otherwise))


def _read_with(plan: ReReadPlan, visibility: Visibility) -> ReReadPlan:
    role = plan.statement.role
    assert role is not None
    statement = replace(plan.statement, role=replace(role, claims=visibility.claims.decode()))
    return replace(plan, visibility=visibility, statement=statement)
