"""Types of documents: names that are no identifiers, and texts in comments that would leave their place."""

from __future__ import annotations

import ast

import pytest

from engine.values.pg_types import TypeInfo
from server.cli.types.comments import TypeCommentError, types_in
from server.cli.types.names import TypeNames
from server.cli.types.python import python
from server.cli.types.shapes import Collection, Field, OfType, Plain
from server.cli.types.typescript import typescript

MOOD = TypeInfo(20_000, 'public."Mood"', "enum", labels=('a"b', "c\\d", "\u2028", "😀"))
EMPTY = TypeInfo(20_001, "other.mood", "enum")
NAMES = ["any", "collections", "literal", "2024", "a-b", "a_b", "день", "*/ x", 'quo"te']


def collections(*fields: Field) -> list[Collection]:
    return [Collection(name, f"public.{name}", fields) for name in sorted(NAMES)]


def test_each_type_has_a_name_of_its_own_that_both_languages_take() -> None:
    names = TypeNames(collections(Field("m", OfType(MOOD), False), Field("e", OfType(EMPTY), True)))
    found = [*names.collections.values(), *names.types.values()]
    assert len(set(found)) == len(NAMES) + 2
    assert all(name.isidentifier() for name in found)
    assert names.collections["any"] == "Any2"
    assert [names.collections[name] for name in ("a-b", "a_b", "2024", "день")] == ["AB", "AB2", "Type2024", "День"]
    assert [*names.types.values()] == ["Mood", "Mood2"]


def test_whatever_names_and_labels_are_the_module_of_python_is_one() -> None:
    text = python(
        collections(
            Field("m", OfType(MOOD), False), Field("class", Plain.JSON, True), Field("__x", OfType(EMPTY), True)
        )
    )
    module = ast.parse(text)
    assert [type(node) for node in module.body if not isinstance(node, (ast.Assign, ast.ClassDef))] == [
        ast.Expr, ast.Import, ast.Import, ast.ImportFrom, ast.If,
    ]  # fmt: skip
    assert len(module.body) == 5 + 2 + 2 * len(NAMES) + 1  # a document and its fields for each
    made: dict[str, object] = {}
    exec(compile(text, "types", "exec", dont_inherit=True), made)
    assert made["Mood2"].__args__ == MOOD.labels  # type: ignore[attr-defined]
    assert made["Collections"].__annotations__.keys() == set(NAMES)
    assert made["Any2"].__annotations__.keys() == {"m", "class", "__x"}


def test_a_name_ends_neither_a_comment_nor_a_line_of_typescript() -> None:
    text = typescript(collections(Field("a b\n", Plain.STRING, True)))
    comments = [line for line in text.splitlines() if line.startswith("/**")]
    assert len(comments) == len(NAMES) + 1
    assert all(line.index("*/") == len(line) - 2 for line in comments)
    assert '  "a b\\n": string | null;' in text


@pytest.mark.parametrize(
    ("comment", "texts"),
    [
        ("Who it is by. @ts { by: string; at?: string } @py dict[str, str | None]",
         {"ts": "{ by: string; at?: string }", "py": "dict[str, str | None]"}),
        ("@ts (a: number) => Map<string, \"}\">\nand more", {"ts": "(a: number) => Map<string, \"}\">"}),
        ("first line\n@py list[ int ] # of what?", {"py": "list[int]"}),
        ("@ts import(\"./own\").Details[]", {"ts": "import(\"./own\").Details[]"}),
    ],
)  # fmt: skip
def test_a_type_of_a_comment_is_the_text_after_its_language(comment: str, texts: dict[str, str]) -> None:
    assert types_in([(1, 2, "t.c", comment)]) == {(1, 2): texts}


@pytest.mark.parametrize("comment", ["a column", "", "someone@ts.example", "@tsx"])
def test_a_comment_without_a_type_gives_none(comment: str) -> None:
    assert types_in([(1, 2, "t.c", comment)]) == {}


@pytest.mark.parametrize(
    "comment",
    [
        "@ts string } declare const x: 1; interface Y {", "@ts string; x: number", "@ts string, x: number", "@ts [string",
        "@ts string // rest", "@ts string /* rest", "@ts `x`", "@ts \"x", "@ts ", "@py int; import os", "@py f()",
        "@py int\u2028x", "@py lambda: 0", "@py (x := 1)", "@py \"", "@py " + "(" * 1000,
    ],
)  # fmt: skip
def test_a_text_that_would_leave_its_field_is_refused_with_the_column(comment: str) -> None:
    with pytest.raises(TypeCommentError, match=r"the comment on t\.c has no type of its language after @(ts|py)"):
        types_in([(1, 2, "t.c", comment)])
