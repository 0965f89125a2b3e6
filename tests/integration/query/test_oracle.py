"""Compiled queries against PostgreSQL: same rows, same order, same documents, and an index that misses none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalog.model import Table
from engine.query.compile.plan import IncrementalPlan, IndexTerms, compile_incremental
from engine.query.compile.to_sql import render_documents
from engine.query.ir.model import Query
from engine.query.ir.normalise import normalise
from tests.integration.query.conftest import Oracle, Row
from tests.support.examples import examples
from tests.support.values.query_strategies import predicates, queries


def satisfies(row: Row, terms: IndexTerms, table: Table) -> bool:
    """What the matcher's indexes will find."""
    for index, wanted in terms.equalities:
        value = row[index]
        if value is None or table.equal_value(index, value) != wanted:
            return False
    for term in terms.ranges:
        text = row[term.index]
        if text is None:
            return False
        value = table.sort_value(term.index, text)
        if term.low is not None and not (value > term.low or (term.low_inclusive and value == term.low)):
            return False
        if term.high is not None and not (value < term.high or (term.high_inclusive and value == term.high)):
            return False
    return True


def compiled(oracle: Oracle, query: Query) -> IncrementalPlan:
    plan = compile_incremental(oracle.canonical(query), oracle.table)
    assert isinstance(plan, IncrementalPlan), plan
    return plan


def expected_rows(plan: IncrementalPlan, rows: Sequence[Row]) -> list[Row]:
    return sorted((row for row in rows if plan.matches(row)), key=plan.sort_key)


@pytest.mark.long
@settings(max_examples=examples(150), deadline=None)
@given(data=st.data())
def test_matches_and_sort_key_agree_with_postgres(oracle: Oracle, data: st.DataObject) -> None:
    plan = compiled(oracle, data.draw(queries(oracle.table)))
    ours = expected_rows(plan, oracle.rows)
    assert [plan.doc_id(row) for row in ours] == [plan.doc_id(row) for row in oracle.run(plan.read(None))]
    assert ours[:5] == oracle.run(plan.read(5))


@settings(max_examples=examples(75), deadline=None)
@given(data=st.data())
def test_every_matching_row_satisfies_an_alternative(oracle: Oracle, data: st.DataObject) -> None:
    plan = compiled(oracle, data.draw(queries(oracle.table)))
    for row in oracle.rows:
        if plan.matches(row):
            assert any(satisfies(row, terms, oracle.table) for terms in plan.index_terms)
    assert len(plan.index_terms) <= 256


@settings(max_examples=examples(40), deadline=None)
@given(data=st.data())
def test_documents_and_ids_are_those_of_the_re_read_statement(oracle: Oracle, data: st.DataObject) -> None:
    plan = compiled(oracle, data.draw(queries(oracle.table)))
    ours = expected_rows(plan, oracle.rows)[: plan.limit]
    documents = oracle.run(render_documents(plan.query, oracle.table))
    assert [(plan.doc_id(row).encode(), plan.encode(row)) for row in ours] == documents


@settings(max_examples=examples(75), deadline=None)
@given(data=st.data())
def test_a_normalised_query_has_the_same_rows(oracle: Oracle, data: st.DataObject) -> None:
    query = Query("wide", where=data.draw(predicates(oracle.table)))
    once = normalise(query)
    assert normalise(once) == once
    assert oracle.run(render_documents(query, oracle.table)) == oracle.run(render_documents(once, oracle.table))


@settings(max_examples=examples(50), deadline=None)
@given(data=st.data())
def test_only_the_columns_in_needs_are_read(oracle: Oracle, data: st.DataObject) -> None:
    plan = compiled(oracle, data.draw(queries(oracle.table)))
    row = data.draw(st.sampled_from(oracle.rows))
    blanked = tuple(value if index in plan.needs else object() for index, value in enumerate(row))
    assert plan.matches(blanked) == plan.matches(row)  # type: ignore[arg-type]
    assert plan.sort_key(blanked) == plan.sort_key(row)  # type: ignore[arg-type]
