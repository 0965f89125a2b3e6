"""The JSON of a token is read in two ways: what is plain, in a fast one, which reads it as the strict one does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.auth.token_form import _plain_object, read_object
from tests.unit.auth.test_hostile_tokens import JSON

NAMES = st.sampled_from(["a", "b", "iss", '"', ":", '":', "\\", "é", ""])
SPACES = st.sampled_from(["", " ", "\t\n", "\r "])


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts of objects, whose names may occur twice."""
    pair = st.tuples(SPACES, NAMES.map(lambda name: json.dumps(name, ensure_ascii=False)), SPACES, values)
    joined = st.lists(pair.map(lambda parts: "{}{}{}:{}".format(*parts)), max_size=5)
    return joined.map(lambda pairs: "{" + ",".join(pairs) + "}")


PLAIN = st.recursive(
    st.sampled_from(
        [
            "null",
            "true",
            "0",
            "-0",
            "-1",
            "1.0",
            "-0.0",
            "1e3",
            "1E400",
            "01",
            str(10**30),
            "NaN",
            '"x"',
            '"{:"',
            '"\\""',
        ]
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]"), objects(inner)),
    max_leaves=8,
)


def strictly(data: bytes) -> tuple[str, dict[str, Any]] | None:
    """What the strict reader makes of it, and how that looks: 1 and 1.0 are equal, and True."""
    try:
        value = read_object(data.decode())
    except (ValueError, RecursionError):
        return None
    return repr(value), value


@given(st.one_of(objects(PLAIN), PLAIN, JSON.map(lambda value: json.dumps(value, ensure_ascii=False))))
def test_what_is_read_fast_is_read_as_strictly(text: str) -> None:
    data = text.encode(errors="surrogatepass")
    fast = _plain_object(data)
    assert fast is None or (repr(fast), fast) == strictly(data)


@pytest.mark.parametrize(
    "text",
    [
        '{"iss":"https://issuer.test","sub":"u","exp":1,"aud":["a","b"],"roles":{"x":[{"y":1.50}]}}',
        '{ "iss" : "a:b" , "exp" : 1 }',
        "{}",
    ],
)
def test_usual_claims_are_read_fast(text: str) -> None:
    assert _plain_object(text.encode()) == read_object(text)


@pytest.mark.parametrize("text", ['{"a":1,"a":1}', '{"a":1,"b" :{"c":2,"c" :3}}', '{"a":1, "a"\n:2,"b":"\\":"}'])
def test_a_name_that_occurs_twice_is_never_read_fast(text: str) -> None:
    assert _plain_object(text.encode()) is None
    with pytest.raises(ValueError, match="a name occurs twice"):
        read_object(text)
