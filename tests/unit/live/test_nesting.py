"""A document's nesting is counted in its text, outside strings, to any depth."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.values import nesting
from engine.values.nesting import MAX_LEVELS, too_deep_field


def lists(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(("levels", "field"), [(MAX_LEVELS, None), (MAX_LEVELS + 1, "deep"), (200_000, "deep")])
def test_the_field_that_is_nested_beyond_the_bound_is_named(levels: int, field: str | None) -> None:
    assert too_deep_field(b'{"id":"[{","flat":[[1],{"x":2}],"deep":%b,"last":"}"}' % lists(levels)) == field
    objects = b'{"a":' * levels + b"1" + b"}" * levels
    assert too_deep_field(b'{"id" : 1, "deep" : %b}' % objects) == field


def test_brackets_in_strings_and_side_by_side_are_no_nesting() -> None:
    wide = [["(", "[" * 600, '"' + "{" * 600 + "\\"]] * 1_000
    assert too_deep_field(json.dumps({"wide": wide, "[" * 600: "(" * 2_000}).encode()) is None


def test_a_document_that_is_no_object_has_no_field_too_deep() -> None:
    assert too_deep_field(b"null") is None


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text('[]{}"\\a'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[]{}"\\a'), inner, max_size=3),
    max_leaves=20,
)


def levels_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(levels_of, value.values()), default=0)
    return 1 + max(map(levels_of, value), default=0) if isinstance(value, list) else 0


@given(st.dictionaries(st.text('[]{}"\\a'), VALUES), st.integers(0, 5))
def test_the_field_is_the_first_that_a_walk_through_the_values_finds(document: dict[str, Any], bound: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nesting, "MAX_LEVELS", bound)
        patch.setattr(nesting, "may_be_too_deep", lambda text: True)
        found = next((name for name, value in document.items() if levels_of(value) > bound), None)
        assert too_deep_field(json.dumps(document, ensure_ascii=False).encode()) == found
