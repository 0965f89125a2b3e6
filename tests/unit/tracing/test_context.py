"""Trace contexts are read and passed on as W3C's Trace Context demands (https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tracing.context import MAX_TRACESTATE, TraceContext, context_in, parse_context, with_context

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"

# From the recommendation (3.2.2) and from w3c/trace-context, test/test.py.
INVALID = (
    "",
    "00",
    PARENT[:-1],
    f"{PARENT}-what-the-future-will-be-like",  # version 00 has nothing behind the flags
    f"{PARENT}.",
    f"ff-{TRACE}-{SPAN}-01",
    f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like",
    f".0-{TRACE}-{SPAN}-01",
    f"0.-{TRACE}-{SPAN}-01",
    f"000-{TRACE}-{SPAN}-01",
    f"0-{TRACE}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-.{TRACE[1:]}-{SPAN}-01",
    f"00-{TRACE[1:]}-{SPAN}-01",
    f"00-{TRACE}0-{SPAN}-01",
    f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE}-.{SPAN[1:]}-01",
    f"00-{TRACE}-{SPAN[1:]}-01",
    f"00-{TRACE}-{SPAN}-.0",
    f"00-{TRACE}-{SPAN}-0.",
    f"00-{TRACE}-{SPAN}-1",
    f"00-{TRACE}-{SPAN}-001",
    f"00_{TRACE}_{SPAN}_01",
    f" {PARENT}",
    f"{PARENT} ",
    f"{PARENT}\n",
    f"00-{TRACE}-{SPAN}-٠١",  # digits, but not hexadecimal ones
)


@pytest.mark.parametrize("text", INVALID)
def test_an_invalid_traceparent_is_none(text: str) -> None:
    assert parse_context(text, "a=1") is None


@pytest.mark.parametrize("value", [None, 1, b"", [PARENT], {"traceparent": PARENT}])
def test_what_is_no_text_is_no_traceparent(value: object) -> None:
    assert parse_context(value) is None


def test_a_valid_traceparent_is_passed_on_in_the_form_of_version_00() -> None:
    context = parse_context(PARENT)
    assert context == TraceContext(int(TRACE, 16), int(SPAN, 16), 1)
    assert context.sampled
    assert context.traceparent == PARENT
    for later in (f"cc-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like"):
        assert parse_context(later) == context


@pytest.mark.parametrize(
    ("given_", "kept"), [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("ff", "03"), ("fc", "00")]
)
def test_unknown_flags_are_not_passed_on(given_: str, kept: str) -> None:
    context = parse_context(f"00-{TRACE}-{SPAN}-{given_}")
    assert context is not None
    assert (context.traceparent, context.sampled) == (f"00-{TRACE}-{SPAN}-{kept}", kept in ("01", "03"))


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("foo=1", "foo=1"),
        ("foo=1,bar=2", "foo=1,bar=2"),
        ("foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3"),
        ("foo=1,", "foo=1"),
        ("fw529a3039@dt=FfSwAwPDwA,t_t-9*/=x = y", ""),
        ("t61rcWkgMzE@x=1", ""),  # capitals
        (
            "1a-2f@foo=1,b_c/d*e=a !\"#$%&'()*+-./:;<>?@[]^_`{|}~",
            "1a-2f@foo=1,b_c/d*e=a !\"#$%&'()*+-./:;<>?@[]^_`{|}~",
        ),
        ("foo=1,foo=2", ""),
        ("foo =1", ""),
        ("foo", ""),
        ("foo=", ""),
        ("=1", ""),
        ("foo@=1,bar=2", ""),
        ("@foo=1,bar=2", ""),
        ("foo@@bar=1", ""),
        ("foo@bar@baz=1", ""),
        (f"{'z' * 256}=1", f"{'z' * 256}=1"),
        (f"{'z' * 257}=1", ""),
        (f"{'t' * 241}@{'v' * 14}=1", f"{'t' * 241}@{'v' * 14}=1"),
        (f"{'t' * 242}@v=1", ""),
        (f"t@{'v' * 15}=1", ""),
        (",".join(f"k{n}=1" for n in range(32)), ",".join(f"k{n}=1" for n in range(32))),
        (",".join(f"k{n}=1" for n in range(33)), ""),
        (f"a={'b' * 256},c={'d' * (MAX_TRACESTATE - 261)}", f"a={'b' * 256},c={'d' * (MAX_TRACESTATE - 261)}"),
        (f"a={'b' * 256},c={'d' * (MAX_TRACESTATE - 260)}", ""),
        ("a=é", ""),
        ("a=b\x00", ""),
    ],
)
def test_a_tracestate_is_passed_on_if_it_is_valid_and_dropped_alone_if_not(given_: str, kept: str) -> None:
    context = parse_context(PARENT, given_)
    assert context is not None
    assert context.state == kept
    assert context.fields == {"traceparent": PARENT, **({"tracestate": kept} if kept else {})}


@given(st.text())
def test_no_text_raises(text: str) -> None:
    assert parse_context(text, text) is None
    kept = parse_context(PARENT, text)
    assert kept is not None
    assert parse_context(kept.traceparent, kept.state) == kept


def test_an_annotation_carries_a_context_under_the_names_of_the_headers() -> None:
    context = TraceContext(int(TRACE, 16), int(SPAN, 16), 1, "a=1")
    assert context_in(json.dumps({"user": "ada", **context.fields}).encode()) == context
    for none in (
        None,
        b"{}",
        b'{"user": "ada"}',
        b'{"traceparent": 1}',
        b'{"traceparent": "x"}',
        b'{"a": {"traceparent": 2}}',
    ):
        assert context_in(none) is None
    assert context_in(json.dumps({"traceparent": PARENT, "tracestate": [1]}).encode()) == context._replace(state="")


def test_a_context_replaces_that_of_an_annotation() -> None:
    context = TraceContext(1, 2)
    mine = {"traceparent": f"00-{1:032x}-{2:016x}-00"}
    assert json.loads(with_context(None, context)) == mine
    annotation = b'{"user": "ada", "n": 12345678901234567890.10, "traceparent": "x", "tracestate": "a=1"}'
    merged = with_context(annotation, context)
    assert json.loads(merged) == {"user": "ada", "n": 12345678901234567890.1, **mine}
    assert b"12345678901234567890.10" in merged
