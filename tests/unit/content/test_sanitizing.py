"""Chosen fields hold only markup that runs nothing; the others stay as they are."""

from __future__ import annotations

import re
from typing import Any

import pytest

from server.content.errors import ContentRefusedError, PolicyError
from server.content.sanitizing import Sanitizer

# After the OWASP XSS Filter Evasion Cheat Sheet.
ATTACKS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//x.example></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<a href='j&#x0A;avascript:alert(1)'>x</a>",
    "<a href=' &#14; javascript:alert(1)'>x</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>x</a>",
    "<svg><animate onbegin=alert(1) attributeName=x></svg>",
    "<svg><style><img src=x onerror=alert(1)></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<b onclick=alert(1) style='background:url(javascript:alert(1))'>x</b>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<form action=//x.example><input name=p><button>x</button></form>",
    "<base href=//x.example>",
    "<<script>alert(1)//<</script>",
    "<img \"\"\"><script>alert(1)</script>\">",
    "<!--><img src=x onerror=alert(1)>-->",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
]  # fmt: skip
STAYS = r"</?(a|b|blockquote|br|code|em|i|li|ol|p|pre|s|strong|u|ul)( (rel|href|title)=\"[^\"<>]*\")*>"


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_stays_of_an_attack_runs_nothing(attack: str) -> None:
    text = Sanitizer({"data": "text"}).clean(attack)
    assert "<" not in text
    formatted = Sanitizer({"data": "formatting"}).clean(attack)
    assert "<" not in re.sub(STAYS, "", formatted)
    assert not re.search(r"href=\"(?!https?:|mailto:)", formatted)
    assert Sanitizer({"data": "formatting"}).clean(formatted) == formatted, "once is enough"
    assert Sanitizer({"data": "text"}).clean(text) == text


def test_a_profile_keeps_what_it_is_for() -> None:
    given = (
        '<p>1 < 2 & <b title="t">bold</b> <a href="https://x.example/?a=1&b=2">link</a> <a href="/near">near</a></p>'
    )
    assert Sanitizer({"data": "text"}).clean(given) == "1 &lt; 2 &amp; bold link near"
    assert Sanitizer({"data": "formatting"}).clean(given) == (
        '<p>1 &lt; 2 &amp; <b>bold</b> <a href="https://x.example/?a=1&amp;b=2" rel="nofollow noopener noreferrer">link</a>'
        ' <a rel="nofollow noopener noreferrer">near</a></p>'
    )


@pytest.mark.parametrize(
    ("path", "data", "clean"),
    [
        ("data", "<i>x", "x"),
        ("data.text", {"text": "<i>x", "other": "<i>x"}, {"text": "x", "other": "<i>x"}),
        ("data.text", {"text": 5}, {"text": 5}),
        ("data.text", ["<i>x"], ["<i>x"]),
        ("data.text", None, None),
        ("data.a.*.t", {"a": [{"t": "<i>x"}, {}, 1, {"t": "y"}]}, {"a": [{"t": "x"}, {}, 1, {"t": "y"}]}),
        ("data.*", {"a": "<i>x", "b": ["<i>y"]}, {"a": "x", "b": ["<i>y"]}),
        ("data.1", ["<i>x", "<i>y"], ["<i>x", "y"]),
        ("data.7", ["<i>x"], ["<i>x"]),
        ("data.²", ["<i>x"], ["<i>x"]),
    ],
)
def test_a_path_leads_to_texts_and_to_nothing_else(path: str, data: Any, clean: Any) -> None:
    assert Sanitizer({path: "text"}).clean(data) == clean


def test_the_tags_of_a_message_are_bounded_because_nesting_costs_their_square() -> None:
    sanitizer = Sanitizer({"data.*": "formatting"})
    sanitizer.clean(["<ul><li>" * 500, "<b>" * 1_000])
    with pytest.raises(ContentRefusedError, match="more than 2000 tags"):
        sanitizer.clean(["<ul><li>" * 500, "<b>" * 1_001])
    assert sanitizer.clean(["x" * 100_000 + " & "]) == ["x" * 100_000 + " &amp; "]


def test_an_unknown_profile_is_a_problem_of_the_policy() -> None:
    with pytest.raises(PolicyError, match="there is no profile 'html'; there are text, formatting"):
        Sanitizer({"data": "html"})
