"""The decoders on bytes alone: what they accept, what they ask for, what they refuse."""

from __future__ import annotations

import contextlib
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.feed.decoders.base import MalformedStreamError, RelationNeededError, TableDescription
from engine.feed.decoders.pgoutput import PgOutputDecoder
from engine.feed.decoders.wal2json import Wal2JsonDecoder
from engine.feed.decoders.wal2json_rows import unescape
from engine.transaction import UNCHANGED, UNKNOWN, Change, Message, Relation, RelationColumn, Transaction, Value

BEGIN = b"B" + struct.pack("!QqI", 1000, 5, 77)
COMMIT = b"C" + struct.pack("!BQQq", 0, 1000, 1048, 5)


def relation_message(oid: int, columns: list[str]) -> bytes:
    listed = b"".join(b"\x00" + name.encode() + b"\0" + struct.pack("!Ii", 25, -1) for name in columns)
    return b"R" + struct.pack("!I", oid) + b"public\0t\0d" + struct.pack("!H", len(columns)) + listed


def tuple_data(values: list[Value]) -> bytes:
    parts = [struct.pack("!H", len(values))]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif value is UNCHANGED:
            parts.append(b"u")
        else:
            parts.append(b"t" + struct.pack("!I", len(value)) + value)
    return b"".join(parts)


values = st.one_of(st.none(), st.just(UNCHANGED), st.binary(max_size=20))


@given(st.lists(st.lists(values, min_size=3, max_size=3), max_size=20), st.integers(0, 2000))
def test_pgoutput_rows_come_back_from_memory_and_from_the_spill_file(rows: list[list[Value]], memory: int) -> None:
    decoder = PgOutputDecoder(memory)
    assert decoder.feed(BEGIN) is None
    decoder.feed(relation_message(9, ["a", "b", "c"]))
    for row in rows:
        decoder.feed(b"I" + struct.pack("!I", 9) + b"N" + tuple_data(row))
        decoder.feed(b"U" + struct.pack("!I", 9) + b"K" + tuple_data(row) + b"N" + tuple_data(row[::-1]))
        decoder.feed(b"D" + struct.pack("!I", 9) + b"O" + tuple_data(row))
    transaction = decoder.feed(COMMIT)
    assert transaction is not None
    assert (transaction.position, transaction.end, transaction.xid) == (1000, 1048, 77)
    assert transaction.commit_time == 946_684_800_000_005
    got = [(c.new(), c.old()) for c in transaction.changes if not isinstance(c, Message)]
    assert got == [p for r in rows for p in ((tuple(r), None), (tuple(r[::-1]), tuple(r)), (None, tuple(r)))]


def test_relations_of_two_decoders_are_equal_and_hash_alike_unless_a_column_differs() -> None:
    def relation(columns: list[str]) -> Relation:
        decoder = PgOutputDecoder()
        for payload in (BEGIN, relation_message(9, columns), b"I" + struct.pack("!I", 9) + b"N" + tuple_data([b"1"])):
            decoder.feed(payload)
        transaction = decoder.feed(COMMIT)
        assert transaction is not None
        (change,) = transaction.changes
        assert not isinstance(change, Message)
        return change.relation

    one, same, other = relation(["a"]), relation(["a"]), relation(["b"])
    assert one is not same
    assert (one == same, hash(one) == hash(same), len({one, same, other})) == (True, True, 2)


@given(st.binary(max_size=60), st.booleans())
def test_pgoutput_garbage_is_refused_and_nothing_else_happens(garbage: bytes, inside: bool) -> None:
    decoder = PgOutputDecoder()
    if inside:
        decoder.feed(BEGIN)
    with contextlib.suppress(MalformedStreamError):
        decoder.feed(garbage)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda s: b'{"action":"' + s.encode("utf-8", "replace")))
def test_wal2json_garbage_is_refused_and_nothing_else_happens(garbage: bytes) -> None:
    decoder = Wal2JsonDecoder()
    with contextlib.suppress(MalformedStreamError, RelationNeededError):
        decoder.feed(garbage)


@given(st.text())
def test_unescaping_is_the_inverse_of_json(text: str) -> None:
    with contextlib.suppress(UnicodeEncodeError):  # lone surrogates cannot come from a database
        text.encode()
        assert unescape(json.dumps(text, ensure_ascii=False).encode()) == text.encode()


HEAD = '"xid":7,"timestamp":"2024-01-02 03:04:05.6+00","lsn":"0/3E8"'
TABLE = '"schema":"public","table":"t"'


def wal2json_row(action: str, columns: str, identity: str = "") -> bytes:
    parts = [f'"action":"{action}"', HEAD, TABLE]
    parts += [f'"columns":[{columns}]'] if columns else []
    parts += [f'"identity":[{identity}]'] if identity else []
    return ("{" + ",".join(parts) + "}").encode()


def column(name: str, oid: int, value: str) -> str:
    return f'{{"name":{json.dumps(name)},"typeoid":{oid},"value":{value}}}'


def described(*columns: tuple[str, int], key: str = "id", identity: str = "d") -> TableDescription:
    listed = tuple(RelationColumn(name, oid, -1, name == key) for name, oid in columns)
    return TableDescription(Relation(9, "public", "t", identity, listed), partition=False, full=identity == "f")


def decode(decoder: Wal2JsonDecoder, description: TableDescription | None, *payloads: bytes) -> list[Change]:
    """Feed a transaction, answering every question with the same description."""
    decoder.feed(f'{{"action":"B",{HEAD},"nextlsn":"0/418"}}'.encode())
    for payload in payloads:
        while True:
            try:
                decoder.feed(payload)
                break
            except RelationNeededError as need:
                asked = need
            assert (asked.schema, asked.table) == ("public", "t")
            decoder.provide(asked, description)
    transaction = decoder.feed(f'{{"action":"C",{HEAD},"nextlsn":"0/418"}}'.encode())
    assert isinstance(transaction, Transaction)
    assert (transaction.position, transaction.end, transaction.xid) == (0x3E8, 0x418, 7)
    assert transaction.commit_time == 1_704_164_645_600_000
    return [change for change in transaction.changes if not isinstance(change, Message)]


@pytest.mark.parametrize(
    ("choice", "sent", "expected"),
    [
        (1, "null", UNKNOWN),  # before 2.6: null, NaN or infinite
        (1, "1.50", b"1.50"),
        (0, "null", None),
        (0, '"NaN"', b"NaN"),
        (0, '"1.50"', b"1.50"),
    ],
)
def test_a_null_number_is_certain_only_when_numbers_come_as_strings(choice: int, sent: str, expected: Value) -> None:
    decoder = Wal2JsonDecoder()
    decoder.use(choice)
    description = described(("id", 23), ("n", 1700))
    (change,) = decode(decoder, description, wal2json_row("I", column("id", 23, "1") + "," + column("n", 1700, sent)))
    new = change.new()
    assert new is not None
    assert new[1] == expected


def test_a_type_oid_beyond_31_bits_is_printed_negative_and_understood() -> None:
    big = 4_000_000_000
    (change,) = decode(
        Wal2JsonDecoder(),
        described(("id", 23), ("x", big)),
        wal2json_row("I", column("id", 23, "1") + "," + column("x", big - 2**32, '"v"')),
    )
    assert change.relation.columns[1].type_oid == big
    assert change.new() == (b"1", b"v")


def test_a_table_that_is_not_exposed_is_asked_for_once_and_dropped() -> None:
    decoder = Wal2JsonDecoder()
    row = wal2json_row("I", column("id", 23, "1"))
    assert decode(decoder, None, row, row) == []
    decoder.feed(b'{"action":"B","lsn":"0/1"}')
    assert decoder.feed(row) is None


def test_after_a_ddl_message_the_catalog_is_asked_again() -> None:
    decoder = Wal2JsonDecoder()
    row = wal2json_row("I", column("id", 23, "1"))
    decode(decoder, described(("id", 23)), row)
    decoder.feed(b'{"action":"B","lsn":"0/1"}')
    decoder.feed(row)
    decoder.feed(b'{"action":"M","lsn":"0/1","transactional":true,"prefix":"realtime.ddl","content":"{}"}')
    with pytest.raises(RelationNeededError):
        decoder.feed(row)


def test_a_layout_the_catalog_does_not_know_is_asked_for_again_and_then_taken_from_the_stream() -> None:
    decoder = Wal2JsonDecoder()
    catalog = described(("id", 23), ("later", 25), ("retyped", 25))
    first, second = decode(
        decoder,
        catalog,
        wal2json_row("I", ",".join([column("id", 23, "1"), column("gone", 16, "true"), column("retyped", 23, "5")])),
        wal2json_row("I", ",".join([column("id", 23, "2"), column("gone", 16, "false"), column("retyped", 23, "6")])),
    )
    assert [(c.name, c.type_oid) for c in first.relation.columns] == [
        ("id", 23),
        ("later", 25),
        ("retyped", 23),
        ("gone", 16),
    ]
    assert first.relation is second.relation
    new = first.new()
    assert new is not None
    assert new[1] is UNKNOWN
    assert (new[0], new[2], new[3]) == (b"1", b"5", b"t")


def test_a_key_that_may_have_changed_from_nan_to_infinity_counts_as_changed() -> None:
    description = described(("id", 1700))
    decoder = Wal2JsonDecoder()
    decoder.use(1)
    (change,) = decode(decoder, description, wal2json_row("U", column("id", 1700, "null"), column("id", 1700, "null")))
    old = change.old()
    assert old is not None
    assert old[0] is UNKNOWN


def test_message_content_that_is_not_text_comes_as_its_bytes() -> None:
    decoder = Wal2JsonDecoder()
    content = rb'"\"\\\n\u0001\/' + b'\xff\xc3\xa9"'
    payload = (
        b'{"action":"M","xid":null,"timestamp":null,"lsn":"0/10","transactional":false,"prefix":"realtime.x","content":'
    )
    transaction = decoder.feed(payload + content + b"}")
    assert transaction is not None
    assert list(transaction.changes) == [Message("realtime.x", b'"\\\n\x01/\xff\xc3\xa9', False)]
    assert (transaction.position, transaction.end, transaction.xid) == (15, 16, 0)


def test_a_reset_forgets_the_transaction_under_way() -> None:
    for decoder, begin, commit in (
        (PgOutputDecoder(), BEGIN, COMMIT),
        (Wal2JsonDecoder(), b'{"action":"B","lsn":"0/1"}', b'{"action":"C","lsn":"0/1","nextlsn":"0/2"}'),
    ):
        decoder.feed(begin)
        decoder.reset()
        with pytest.raises(MalformedStreamError, match="outside a transaction"):
            decoder.feed(commit)
