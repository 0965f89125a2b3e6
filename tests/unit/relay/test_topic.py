"""What a transaction is about as a whole decides who takes it."""

from __future__ import annotations

import contextlib
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cluster.settings import ClusterSettings
from engine.feed.decoders.base import MalformedStreamError
from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.feed.decoders.pgoutput_messages import Insert, relation_message
from engine.feed.table_interest import CHANNEL_TOPICS, FIRST_CHANNEL_TOPIC, channel_topic
from engine.relay.topic import COMMON, topics_of
from engine.transaction import UNCHANGED, Relation, RelationColumn, Transaction, Value
from tests.unit.feed.test_decoders import BEGIN, COMMIT, tuple_data, values
from tests.unit.feed.test_frames import insert, message, truncate


def table(
    oid: int, name: str, schema: str = "realtime", columns: tuple[str, ...] = ("seq", "channel", "payload")
) -> bytes:
    described = tuple(RelationColumn(column, 25, -1, False) for column in columns)
    return relation_message(Relation(oid, schema, name, "d", described))


MESSAGES, PRESENCE, OTHER, CHANNELS, RULES, CONNECTIONS, OTHER_TABLE = range(7, 14)
TABLES = (
    table(MESSAGES, "messages"),
    table(PRESENCE, "presence"),
    table(OTHER, "messages", "public"),
    table(CHANNELS, "channels", columns=("id", "name")),
    table(RULES, "rules", columns=("id", "name")),
    table(CONNECTIONS, "connections", columns=("id", "node_id")),
    table(OTHER_TABLE, "else", "public", columns=("id", "name")),
)


def transaction(*payloads: bytes, memory: int = 1 << 20) -> Transaction:
    decoder = PgOutputDecoder(memory_limit=memory)
    for payload in (BEGIN, *TABLES, *payloads):
        decoder.feed(payload)
    found = decoder.feed(COMMIT)
    assert found is not None
    return found


def topic(*payloads: bytes) -> int:
    return topics_of("pgoutput", transaction(*payloads)).own


def touched(*payloads: bytes, memory: int = 1 << 20) -> set[int] | None:
    found = topics_of("pgoutput", transaction(*payloads, memory=memory)).touched
    return None if found is None else set(found)


def stored(channel: str, oid: int = MESSAGES) -> bytes:
    return insert(oid, [b"1", channel.encode(), b"null"])


def note(prefix: str, content: object) -> bytes:
    return message(prefix.encode(), json.dumps(content).encode(), transactional=True)


def delete(channel: str) -> bytes:
    return b"D" + struct.pack("!I", MESSAGES) + b"O" + tuple_data([b"1", channel.encode(), b"null"])


def beside(channel: str, *, same: bool) -> str:
    """Another channel, of the same topic or of another one."""
    names = (f"c{number}" for number in range(10_000))
    return next(each for each in names if each != channel and (channel_topic(each) == channel_topic(channel)) == same)


def test_topics_of_channels_are_the_same_for_ever() -> None:
    """Relays and nodes of all versions must agree."""
    found = {name: channel_topic(name) - FIRST_CHANNEL_TOPIC for name in ("123456789", "room", "räum:1", "🙂")}
    check = 0xCBF43926  # of CRC-32, in catalogues of such codes
    assert found == {"123456789": check % 128, "room": 27, "räum:1": 46, "🙂": 41}
    assert len(CHANNEL_TOPICS) == 128
    assert min(CHANNEL_TOPICS) > 0xFFFFFFFF, "no oid is one"


@given(st.text(max_size=20))
def test_every_channel_has_one_of_the_topics_and_a_subject(name: str) -> None:
    settings = ClusterSettings(urls=(), slot="s")
    found = channel_topic(name)
    assert found in CHANNEL_TOPICS
    assert settings.topic(settings.subject(found)) == found
    assert settings.subject(found).rpartition(".")[0] == settings.channels.rpartition(".")[0]


@pytest.mark.parametrize("oid", [1, 16_384, 0xFFFFFFFF])
def test_subject_of_a_table_is_none_of_a_channel(oid: int) -> None:
    settings = ClusterSettings(urls=(), slot="s")
    assert settings.topic(settings.subject(oid)) == oid
    assert settings.topic(settings.events) == COMMON


def test_messages_of_one_topic_have_it() -> None:
    twin = beside("room", same=True)
    assert topic(stored("room")) == channel_topic("room")
    assert topic(stored("room"), stored(twin), stored("room")) == channel_topic("room")
    assert topic(note("realtime.message", {"channel": "room", "event": "e"})) == channel_topic("room")
    trace = note("realtime.trace", {"channel": "room", "traceparent": "x"})
    assert topic(trace, stored("room"), note("realtime.message", {"channel": twin})) == channel_topic("room")
    assert topic(note("realtime.annotation", {"a": 1}), stored("room")) == channel_topic("room")


@pytest.mark.parametrize(
    "payloads",
    [
        [stored("room"), stored(beside("room", same=False))],
        [stored("room"), note("realtime.message", {"channel": beside("room", same=False)})],
        [stored("room"), insert(PRESENCE, [b"1", b"room", b"x"])],
        [stored("room"), stored("room", OTHER)],
        [stored("room", OTHER), note("realtime.message", {"channel": "room"})],
        [stored("room"), note("realtime.command", {"command": "kick", "channel": "room"})],
        [stored("room"), delete("room")],
        [stored("room"), truncate(MESSAGES)],
        [insert(PRESENCE, [b"1", b"room", b"x"])],
        [note("realtime.annotation", {"a": 1})],
        [note("realtime.message", {"channel": None})],
        [message(b"realtime.message", b"\xff", transactional=True)],
        [insert(MESSAGES, [b"1", None, b"null"])],
        [],
    ],
    ids=range(14),
)
def test_all_else_concerns_everyone(payloads: list[bytes]) -> None:
    assert topic(*payloads) == COMMON


def test_common_transaction_touches_the_tables_and_channels_that_it_is_about() -> None:
    """Of which clients get something: messages, presence, an end."""
    room, other = channel_topic("room"), channel_topic(beside("room", same=False))
    elsewhere = beside("room", same=False)
    assert touched(stored("room"), stored(elsewhere)) == {room, other}
    assert touched(stored("room"), insert(PRESENCE, [b"1", elsewhere.encode(), b"x"])) == {room, other}
    assert touched(stored("room"), stored("room", OTHER)) == {room, OTHER}
    assert touched(insert(CHANNELS, [b"1", b"room"])) == {room}
    assert touched(note("realtime.command", {"command": "kick", "channel": "room"})) == {room}
    assert touched(note("realtime.command", {"command": "broadcast"}), stored("room", OTHER)) == {OTHER}
    assert touched(note("realtime.command", 1), note("realtime.other", 1)) == set()
    assert touched(insert(OTHER_TABLE, [b"1", b"room"]), stored("room", OTHER)) == {OTHER, OTHER_TABLE}
    assert touched(stored("room", OTHER), insert(CONNECTIONS, [b"1", b"room"])) == {OTHER}
    assert touched(stored("room"), delete("room")) == {room}
    assert touched(stored("room")) == set(), "it is of one topic"


@pytest.mark.parametrize(
    "payloads",
    [[truncate(MESSAGES)], [insert(RULES, [b"1", b"room"])], [stored("room"), truncate(PRESENCE)]],
    ids=["messages", "rules", "presence"],
)
def test_change_that_may_be_about_any_channel_touches_all(payloads: list[bytes]) -> None:
    assert touched(*payloads) is None


def test_table_of_another_schema_keeps_its_topic_whatever_its_name() -> None:
    assert topic(stored("room", OTHER), stored("else", OTHER)) == OTHER


def test_large_transaction_concerns_everyone() -> None:
    large = transaction(*[stored("room")] * 20, memory=100)
    assert touched(*[stored("room")] * 20, memory=100) is None
    assert topics_of("pgoutput", large).own == COMMON
    assert topics_of("pgoutput", transaction(stored("room"), memory=1000)).own == channel_topic("room")


@given(st.lists(values, min_size=1, max_size=5), st.data())
def test_one_value_of_a_row_is_that_of_the_whole_row(row: list[Value], data: st.DataObject) -> None:
    relation = Relation(1, "public", "t", "d", ())
    raw = insert(1, row)
    column = data.draw(st.integers(0, len(row) - 1))
    whole = Insert(relation, raw).new()
    assert whole is not None
    expected = None if whole[column] is UNCHANGED else whole[column]
    assert Insert(relation, raw).value(column) == expected
    cut = Insert(relation, raw[: data.draw(st.integers(0, len(raw) - 1))])
    with contextlib.suppress(MalformedStreamError):
        assert cut.value(column) == expected


def test_one_value_of_a_row_that_is_cut_is_refused() -> None:
    raw = insert(1, [b"1", b"room"])
    for length in range(len(raw)):
        with pytest.raises(MalformedStreamError):
            Insert(Relation(1, "public", "t", "d", ()), raw[:length]).value(1)
