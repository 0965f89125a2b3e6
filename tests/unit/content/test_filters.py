"""Words and patterns are found in whatever form of Unicode, and what is masked is what was written."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.content.errors import ContentRefusedError, PolicyError
from server.content.filtering import TextSearch
from server.content.filters import Filter
from server.content.normalizing import normal_text


def masked(text: str, words: list[str] | None = None, patterns: list[str] | None = None) -> Any:
    return Filter({"words": words or [], "patterns": patterns or [], "action": "mask"}).apply(text)[0]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("bad", "***"),
        ("A BAD day, badly", "A *** day, badly"),
        ("bad bad,bad", "*** ***,***"),
        ("badge subbad bad2 2bad", "badge subbad bad2 2bad"),
        ("a very  --  Worse thing", "a *************** thing"),
        ("very", "very"),
        ("ｂａｄ 𝐛𝐚𝐝 ⓑⓐⓓ", "*** *** ***"),
        ("b\u200ba\u00add b\u2060ad\ufe0f!", "***** *****!"),
        ("b\x01ad b\x7fa\x85d b\u0600a\ufff9d", "**** ***** *****"),
        ("b\u0336a\u0336d\u0336 b\u20ddad b\u0338ad b\u20e5ad", "****** **** **** ****"),
        ("a\tbad\x0cbad\r\nbad", "a\t***\x0c***\r\n***"),
        ("stra\u00dfe STRASSE", "****** *******"),
        ("cafe\u0301 caf\u00e9 CAFE\u0301 cafe", "***** **** ***** cafe"),
        ("\ufb01sh", "***"),
        ("\u1112\u1161\u11ab \ud55c", "*** *"),
        ("हिन्दी हिन्द", "****** हिन्द"),
        ("", ""),
        ("...", "..."),
    ],
)  # fmt: skip
def test_whole_words_and_phrases_are_masked_where_they_were_written(text: str, result: str) -> None:
    words = ["bad", "Very worse", "strasse", "café", "fish", "한", "हिन्दी"]
    assert masked(text, words) == result
    assert TextSearch(words, []).spans(text) == [] or "*" in result


@pytest.mark.parametrize(
    ("text", "patterns", "result"),
    [
        ("call +49 151 1234!", [r"\+[0-9 ]{6,}"], "call ************!"),
        ("Visit HTTPS://X.example now", [r"https?://\S+"], "Visit ***************** now"),
        ("aXbXc", ["x"], "a*b*c"),
        ("abc", ["ab", "bc"], "***"),
        ("abc", ["z*"], "abc"),
        ("ｈｔｔｐ：／／x", ["http://"], "*******x"),
    ],
)  # fmt: skip
def test_patterns_are_masked_without_regard_to_case(text: str, patterns: list[str], result: str) -> None:
    assert masked(text, patterns=patterns) == result


@given(st.text(), st.text(min_size=1, max_size=3))
def test_places_lead_back_into_the_original(before: str, part: str) -> None:
    normal = normal_text(f"{before}bad{part}")
    assert normal_text(before + part).places is None or len(normal.text) == len(normal.places or normal.text)
    for at in range(len(normal.text)):
        start, end = normal.original(at, at + 1)
        assert 0 <= start < end <= len(before) + 3 + len(part)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_text_and_its_forms_of_unicode_are_searched_alike(text: str) -> None:
    forms = {normal_text(unicodedata.normalize(form, text)).text for form in ("NFC", "NFD")}
    assert len(forms) == 1


def test_actions_and_fields() -> None:
    data = {"text": "bad", "other": ["bad", {"deep": "BAD"}], "bad": 1}
    with pytest.raises(ContentRefusedError, match="a word or a pattern that is not taken here"):
        Filter({"words": ["bad"], "action": "reject"}).apply(data)
    assert Filter({"words": ["bad"], "action": "flag"}).apply(data) == (data, True)
    assert Filter({"words": ["bad"], "fields": ["data.missing"], "action": "reject"}).apply(data) == (data, False)
    only, _ = Filter({"words": ["bad"], "fields": ["data.text"], "action": "mask"}).apply(dict(data))
    assert only == data | {"text": "***"}
    everywhere, flagged = Filter({"words": ["bad"], "action": "mask"}).apply(data)
    assert everywhere == {"text": "***", "other": ["***", {"deep": "***"}], "bad": 1}, "names of fields are no texts"
    assert not flagged


@pytest.mark.parametrize(
    ("words", "patterns", "part"),
    [
        (["..."], [], "'...' has no letter and no digit"),
        ([], ["(?=a)"], "the pattern '(?=a)'"),
        ([], ["("], "the pattern '('"),
        ([], ["(a{1000}){1000}"], "the pattern"),
    ],
)
def test_what_cannot_be_searched_for_is_a_problem_of_the_policy(
    words: list[str], patterns: list[str], part: str
) -> None:
    with pytest.raises(PolicyError) as refused:
        TextSearch(words, patterns)
    assert part in str(refused.value)


def test_hostile_texts_and_patterns_are_searched_in_linear_time() -> None:
    """With backtracking, or with automata that look back, this would not end."""
    search = TextSearch([f"w{number}" for number in range(5_000)] + ["a " * 50], ["(a|a)*(a+)+$", "(x+x+)+y"])
    assert search.spans("a" * 50_000 + "b" + "x" * 50_000) == []
    assert len(search.spans("w5 " * 20_000)) == 20_000
    assert masked("a" * 50_000, patterns=["a"]) == "*" * 50_000, "also what is behind the matches that are located"
    for joined in ("\u0301", "\u0336", "\x01"):
        assert TextSearch(["bad"], []).spans("e" + joined * 50_000 + " bad") == [(50_002, 50_005)]
