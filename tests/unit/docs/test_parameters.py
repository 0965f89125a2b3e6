"""No example makes SQL, or a query of ours, out of texts: values are parameters (trigger.dev #3739: examples are copied)."""

from __future__ import annotations

import re

import pytest

from tests.support.doc_blocks import blocks

_STATEMENT = r"(?:select|insert\s+into|update|delete\s+from|create|alter|drop|grant|truncate|with|values|call|set)\b"
_PYTHON = re.compile(
    rf"""\b[rb]*f[rb]*(?P<q>\"\"\"|'''|"|')\s*{_STATEMENT}(?:(?!(?P=q))[\s\S])*?(?<!{{){{(?!{{)"""  # f"select … {x}"
    rf"""|(?P<p>\"\"\"|'''|"|')\s*{_STATEMENT}(?:(?!(?P=p))[\s\S])*(?P=p)\s*(?:%|\+|\.format\()""",  # "select …" % x
    re.I,
)
_SCRIPT = re.compile(
    rf"""(?<![\w>)])`\s*{_STATEMENT}[^`]*\$\{{"""  # `select … ${{x}}`, but for tagged templates, which bind values
    rf"""|(?P<p>"|')\s*{_STATEMENT}(?:(?!(?P=p))[\s\S])*(?P=p)\s*\+""",  # "select …" + x
    re.I,
)
_SHELL = re.compile(rf"""-c\s+"\s*{_STATEMENT}[^"]*\$""", re.I)
_PLPGSQL = re.compile(r"\bexecute\s+(?:'[^']*'\s*\|\||format\s*\([^)]*%s)", re.I)
_OF = {
    "python": _PYTHON,
    "js": _SCRIPT,
    "ts": _SCRIPT,
    "tsx": _SCRIPT,
    "jsx": _SCRIPT,
    "vue": _SCRIPT,
    "svelte": _SCRIPT,
    "html": _SCRIPT,
    "sh": _SHELL,
    "sql": _PLPGSQL,
    "postgresql": _PLPGSQL,
}


def test_no_example_puts_values_into_the_text_of_a_statement() -> None:
    found = [(str(block), found[0]) for block in blocks() if (found := _made_of_values(block.language, block.text))]
    assert found == []


def test_pages_have_examples_with_parameters() -> None:
    assert {each.language for each in blocks()} & set(_OF) >= {"python", "ts", "sql", "sh"}
    assert any(re.search(r"\bexecute\([^)]*%s", each.text) for each in blocks("python"))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", 'db.execute(f"select * from a where b = {value}")'),
        ("python", "db.execute(f'''\n  insert into a\n  values ({value})''')"),
        ("python", "db.execute(\"select * from a where b = '%s'\" % value)"),
        ("python", 'db.execute("delete from a where b = " + value)'),
        ("python", 'db.execute("update a set b = {}".format(value))'),
        ("ts", "db.query(`select * from a where b = '${value}'`)"),
        ("ts", 'db.query("select * from a where b = " + value)'),
        ("sh", "psql -c \"select * from a where b = '$1'\""),
        ("sql", "begin execute 'select ' || value; end"),
    ],
)
def test_a_statement_that_is_made_of_values_is_found(language: str, text: str) -> None:
    assert _made_of_values(language, text)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", 'db.execute("select * from a where b = %s", [value])'),
        ("python", 'print(f"selected {value}")'),
        ("python", 'db.execute("select 1"); print(f"{value}")'),
        ("ts", "sql`select * from a where b = ${value}`"),
        ("ts", "tx.$queryRaw<Row[]>`select * from a where b = ${value}`"),
        ("ts", 'db.query("select * from a where b = $1", [value])'),
        ("sh", 'psql -c "select 1"'),
    ],
)
def test_parameters_are_not(language: str, text: str) -> None:
    assert not _made_of_values(language, text)


def _made_of_values(language: str, text: str) -> re.Match[str] | None:
    pattern = _OF.get(language)
    return None if pattern is None else pattern.search(text)
