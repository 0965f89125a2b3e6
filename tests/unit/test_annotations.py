"""Annotations of one transaction, merged."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from engine.annotations import Annotations
from engine.transaction import Message


def note(meta: Any, key: str = "k") -> Message:
    return Message("realtime.annotation", json.dumps({"meta": meta, "key": key}).encode(), True)


def test_later_keys_replace_earlier_ones() -> None:
    annotations = Annotations("k")
    for meta in ({}, {"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}, {}):
        annotations.add(note(meta))
    assert annotations.meta is not None
    assert json.loads(annotations.meta) == {"a": 1, "b": {"d": 3}}


def test_empty_objects_are_no_annotation() -> None:
    annotations = Annotations("k")
    annotations.add(note({}))
    assert annotations.meta is None


@pytest.mark.parametrize("key", [None, "", "other"])
def test_without_the_stream_key_nothing_counts(key: str | None) -> None:
    annotations = Annotations(key)
    annotations.add(note({"a": 1}))
    annotations.add(note({"a": 1}, ""))
    assert annotations.meta is None


def test_annotations_beyond_the_limit_are_not_kept() -> None:
    annotations = Annotations("k")
    for number in range(3):
        annotations.add(note({f"{number}": "x" * 4000}))
    annotations.add(note({"a": 1}))
    assert annotations.meta is None


@pytest.mark.parametrize("content", [b"", b"[]", b'{"key": "k"}', b'{"key": "k", "meta": []}'])
def test_what_the_function_does_not_emit_is_refused(content: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        Annotations("k").add(Message("realtime.annotation", content, True))
