"""Ids of an event stream: what is written is read, whatever has become of the address, and nothing else is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.http.problems import ProblemError
from server.transports.sse.event_ids import LONGEST, StreamPosition, read_id, write_id
from server.transports.sse.request import read_request

HERE = StreamPosition("0/16B3748", "9bec9a01a157")
THERE = StreamPosition("0/16B3790/42", "9bec9a01a157")
BEFORE = StreamPosition("0/FF", "an-earlier-epoch")
SAME_HASH = ("room:114679015426802", "room:129231354467945")

places = st.none() | st.builds(
    StreamPosition,
    st.sampled_from(["0/0", "0/16B3748", "12/FF/0", "FFFFFFFF/FFFFFFFF/999999999999999999"]),
    st.sampled_from(["", "a", "b"]),
)


@given(st.dictionaries(st.text(min_size=1, max_size=20), places, max_size=8))
def test_each_channel_gets_back_what_was_written_for_it(places: dict[str, StreamPosition | None]) -> None:
    text = write_id(places)
    if text is None:
        assert not any(places.values())
        return
    assert text.isascii()
    assert text.isprintable()
    assert {channel: read_id(text).of(channel) for channel in places} == places


def test_channels_at_the_same_place_need_no_names() -> None:
    assert write_id({"a": HERE, "b": HERE}) == "0/16B3748;9bec9a01a157"
    assert write_id({"a": StreamPosition("0/16B3748")}) == "0/16B3748"
    assert read_id("0/16B3748;9bec9a01a157").of("whatever") == HERE
    assert read_id("0/16B3748").of("whatever") == StreamPosition("0/16B3748")


def test_the_common_position_holds_for_channels_that_are_new_in_the_address() -> None:
    text = write_id({"a": HERE, "b": HERE, "c": THERE, "d": None, "e": BEFORE})
    assert text is not None
    was = read_id(text)
    assert [was.of(channel) for channel in "edcbaf"] == [BEFORE, None, THERE, HERE, HERE, HERE]
    unknown = write_id({"a": None, "b": None, "c": THERE})
    assert unknown is not None
    assert [read_id(unknown).of(channel) for channel in "cax"] == [THERE, None, None]


def test_without_content_there_is_no_id() -> None:
    assert write_id({}) is None
    assert write_id({"a": None, "b": None}) is None
    assert read_id("").of("a") is None


def test_channels_with_ambiguous_names_have_no_position_of_their_own() -> None:
    one, other = SAME_HASH
    assert write_id({one: HERE, other: THERE, "a": HERE}) is None
    assert write_id({one: HERE, other: HERE}) == str(HERE)


def test_an_id_that_servers_would_refuse_as_a_header_is_not_given() -> None:
    far = {f"room:{n}": StreamPosition(f"FFFFFFFF/{n:08X}/{n}", "9bec9a01a157") for n in range(100)}
    text = write_id(far)
    assert text is not None  # as many channels as a connection may have, all at places of their own
    assert len(text) <= LONGEST
    near = {f"room:{n}": THERE if n % 2 else HERE for n in range(1000)}
    assert write_id(near) is not None
    assert write_id({f"room:{n}": StreamPosition(f"0/{n:X}") for n in range(1000)}) is None


def test_an_id_of_which_a_part_is_missing_is_not_read_as_another_one() -> None:
    text = write_id({"a": HERE, "b": HERE, "c": THERE, "d": BEFORE})
    assert text is not None
    for end in range(1, len(text)):
        with pytest.raises(ValueError, match="part of it is missing"):
            read_id(text[:end])


@pytest.mark.parametrize(
    "wrong",
    [
        "()",
        "(0/1;e)",
        "(0/1;e|)",
        "(0/1;e|e)",
        "(0/1;e|e;)",
        "(0/1;e|e;short:0/1)",
        "(0/1;e|e;abcdefgh)",
        "(0/1;e|e;abcdefgh:later)",
        "(0/1;e|e;abcdefgh:0/1,)",
        "(0/1;e|e;abcdefgh:0/1:0/2)",
        "(0/1;e|e;äbcdefgh:0/1)",
        "(later;e|e;abcdefgh:0/1)",
        "(0/1;e|e;abcdefgh:0/1))",
        "later",
        ";e",
        "0/1/x;e",
    ],
)
def test_an_invalid_id_is_refused_before_the_stream(wrong: str) -> None:
    with pytest.raises(ProblemError, match="Last-Event-ID"):
        read_request([("channel", "a")], wrong)


def asked(pairs: list[tuple[str, str]], places: Mapping[str, StreamPosition | None]) -> list[dict[str, Any]]:
    request = read_request(pairs, write_id(places))
    return [json.loads(message) for message in request.messages]


def test_each_channel_of_the_address_goes_on_from_its_own_place_and_live_queries_begin_anew() -> None:
    pairs = [
        ("channel", "a"),
        ("channel", "new"),
        ("subscribe", '{"channel": "b", "since": "0/1", "epoch": "of the page"}'),
        ("subscribe", '{"channel": "db:collection:notes", "id": "q"}'),
        ("channel", "a"),
        ("history", "5"),
    ]
    a = {"type": "subscribe", "channel": "a", "history": 5, "since": THERE.position, "epoch": THERE.epoch}
    new = {"type": "subscribe", "channel": "new", "history": 5, "since": HERE.position, "epoch": HERE.epoch}
    b = {"type": "subscribe", "channel": "b"}
    query = {"type": "subscribe", "channel": "db:collection:notes", "id": "q"}
    resumed = b | {"since": BEFORE.position, "epoch": BEFORE.epoch}
    untold = b | {"since": "0/1", "epoch": "of the page"}
    others: dict[str, StreamPosition | None] = {"x": HERE, "y": HERE}
    assert asked(pairs, others | {"a": THERE, "b": BEFORE}) == [a, new, a, resumed, query]
    assert asked(pairs, others | {"a": THERE, "b": None}) == [a, new, a, untold, query]
    assert asked(pairs, {}) == [
        {"type": "subscribe", "channel": "a", "history": 5},
        {"type": "subscribe", "channel": "new", "history": 5},
        {"type": "subscribe", "channel": "a", "history": 5},
        untold,
        query,
    ]


def test_an_id_without_an_epoch_takes_the_one_of_the_address_with_it() -> None:
    pairs = [("subscribe", '{"channel": "b", "since": "0/1", "epoch": "of the page"}')]
    assert asked(pairs, {"b": StreamPosition("0/2")}) == [{"type": "subscribe", "channel": "b", "since": "0/2"}]


def test_the_places_of_a_request_are_those_of_its_channels() -> None:
    pairs = [("channel", "a"), ("channel", "c"), ("subscribe", '{"channel": "db:collection:notes"}')]
    pairs += [("subscribe", '{"channel": 5}'), ("subscribe", '{"id": "nameless"}')]
    text = write_id({"a": THERE, "b": HERE, "d": HERE})
    assert read_request(pairs, text).places == {"a": THERE, "c": HERE}
    assert read_request(pairs, None).places == {"a": None, "c": None}
