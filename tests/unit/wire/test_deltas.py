"""Changes as deltas: a client that has the list gets what is new, and its list is the same as with whole documents."""

from __future__ import annotations

from typing import Any

import orjson
from bunbase import Doc
from bunbase.core.lists import take
from hypothesis import given
from hypothesis import strategies as st

from engine.live.core.document_changes import DocChange, WindowEvent, list_changes
from server.wire.encoder import EventFrames

values = st.one_of(st.none(), st.booleans(), st.integers(0, 3), st.sampled_from(["", "a"]), st.just({"n": [1, None]}))
documents = st.dictionaries(st.sampled_from(["a", "b", "1", 'c"']), values, max_size=4)
lists = st.lists(st.tuples(st.integers(0, 8).map(str), documents), unique_by=lambda pair: pair[0], max_size=9)

OLD = [("1", b'{"id":1,"price":1.50,"note":"x","tags":[1]}'), ("2", b'{"id":2}')]


def encoded(rows: list[tuple[str, Any]]) -> list[tuple[str, bytes]]:
    return [(id, orjson.dumps(data)) for id, data in rows]


def delta_of(new: list[tuple[str, bytes]]) -> bytes:
    return WindowEvent(1, False, list_changes(OLD, new)).delta_json


@given(lists, lists)
def test_a_list_rebuilt_from_deltas_is_the_list(old: list[tuple[str, Any]], new: list[tuple[str, Any]]) -> None:
    event = WindowEvent(1, False, list_changes(encoded(old), encoded(new)))
    plain, delta = ([Doc(*row) for row in old] for _ in range(2))
    known = take(plain, orjson.loads(event.changes_json))
    assert take(delta, orjson.loads(event.delta_json)) == known
    assert plain == delta == [Doc(*row) for row in new]


def test_a_modified_document_has_the_fields_whose_text_is_another_and_null_is_a_value() -> None:
    new = [("1", b'{"id":1,"price":1.5,"note":null,"tags":[1]}'), OLD[1]]
    assert b'"doc":{"id":"1","changed":{"price":1.5,"note":null}}' in delta_of(new)


def test_a_document_that_only_moves_has_no_fields_and_a_removed_one_its_id() -> None:
    assert b'"changed":{}}' in delta_of([OLD[1], OLD[0]])
    assert delta_of([OLD[1]]).endswith(b'"doc":{"id":"1"}}]')


def test_a_document_that_has_lost_a_field_is_whole() -> None:
    new = [("1", b'{"id":1,"note":"x","tags":[1]}'), OLD[1]]
    assert b'"doc":{"id":"1","data":{"id":1,"note":"x","tags":[1]}}' in delta_of(new)


def test_what_is_forgotten_is_delivered_whole_and_a_delta_that_was_made_stays() -> None:
    new = [("1", b'{"id":1,"price":2,"note":"x","tags":[1]}'), OLD[1]]
    made, unmade = (WindowEvent(1, False, list_changes(OLD, new)) for _ in range(2))
    assert b"changed" in made.delta_json
    for event in (made, unmade):
        event.forget()
    assert made.again().delta_json == made.delta_json
    assert unmade.again().delta_json == unmade.changes_json


def test_a_row_is_encoded_as_it_was_only_for_a_client_that_asked_for_deltas() -> None:
    encodings = []

    def encode(row: bytes) -> bytes:
        encodings.append(row)
        return row

    event = WindowEvent(1, False, [DocChange("modified", 0, 0, "1", b'{"a":2}', (encode, b'{"a":1}'))])
    frames = EventFrames()
    whole = frames.frame(b"{", event)
    assert not encodings
    delta = frames.frame(b"{", event, delta=True)
    assert frames.frame(b"{", event, delta=True) is delta
    assert frames.frame(b"{", event) is whole
    assert len(encodings) == 1
    assert b'"changed":{"a":2}' in delta.data
    assert b'"data":{"a":2}' in whole.data


def test_a_reset_is_one_frame_for_all() -> None:
    event = WindowEvent(1, True, list_changes((), OLD))
    frames = EventFrames()
    assert frames.frame(b"{", event, delta=True) is frames.frame(b"{", event)
