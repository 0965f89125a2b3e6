"""The signatures of functions on the page about SQL are those of the database."""

from __future__ import annotations

import re

import psycopg
import pytest

from tests.support.doc_blocks import Block, blocks


@pytest.mark.parametrize("block", blocks("text", page="docs/guides/sql.md"), ids=str)
def test_the_function_has_these_arguments_defaults_and_result(block: Block, database: str) -> None:
    without_comments = re.sub(r"--.*", "", block.text)
    found = re.fullmatch(r"\s*realtime\.(\w+)\((.*)\) returns (\w+)\s*", without_comments, re.S)
    assert found, block
    name, arguments, result = found.groups()
    written = [" ".join(each.split()) for each in arguments.split(",")]
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "select pg_get_function_arguments(p.oid), pg_get_function_result(p.oid) from pg_proc p"
            " where pronamespace = 'realtime'::regnamespace and proname = %s",
            [name],
        ).fetchall()
    there = [
        (re.sub(r"::[\w\[\]]+", "", arguments).replace("DEFAULT", "default").replace("NULL", "null"), returned)
        for arguments, returned in rows
    ]
    assert (", ".join(written), result) in there
