"""Filters of channels: a list of conditions, and on the next line the data of a message."""

from __future__ import annotations

import json
from typing import Final

import msgspec

from engine.channels.core.filters.document import Document
from engine.channels.core.filters.filter import UnreadableFilterError, compile_filter, read_json
from engine.errors import InvalidQueryError
from server.protocol.client_messages import InvalidMessageError, Subscribe, decode
from tests.fuzz.targets.queries import OPERATORS

__all__ = ["TOKENS", "target"]

TOKENS: Final = (
    *OPERATORS, b'"a"', b'"a.b.0"', b'{"and":[', b'{"or":[', b'{"not":', b'["a","==",1]', b'["a","in",[1,2]]',
    b'["a","like","%x_"]', b"\n", b"null", b"1.0", b"1e308", b"-0.0", b"9" * 400, b'"\\ud800"', b'"\\u0000"', b"[",
    b"]", b",",
)  # fmt: skip


def target(data: bytes) -> None:
    """A filter is refused as a client's is, or decides about any data: true, false or unknown, twice the same."""
    conditions, _, text = data.partition(b"\n")
    try:
        asked = decode(b'{"type":"subscribe","channel":"c","filter":{"where":' + conditions + b"}}")
        assert isinstance(asked, Subscribe)
        assert not isinstance(asked.filter, msgspec.UnsetType)
        where = asked.filter.where
        test = compile_filter([] if isinstance(where, msgspec.UnsetType) else list(where))
        value = read_json(text)
    except (InvalidMessageError, InvalidQueryError, UnreadableFilterError):
        return
    first = test(Document(value))
    assert first in (True, False, None)
    assert test(Document(read_json(text))) is first
    json.loads(text)
