"""Error and close codes: one list of each, which code and documentation agree with."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from server.http.problems import BY_CODE
from server.protocol.close_codes import CloseCode, Reconnect
from server.protocol.error_codes import ErrorCode

ROOT = Path(__file__).parents[2]
PROTOCOL = (ROOT / "docs/reference/protocol.md").read_text()
LISTS = {ROOT / "engine/errors.py", ROOT / "server/protocol/close_codes.py"}
CLOSES = {"close", "Close", "InvalidFrameError", "ConnectionEndedError"}


@pytest.fixture(scope="module")
def sources() -> list[tuple[Path, list[ast.AST]]]:
    """The nodes of each module's tree."""
    paths = [path for folder in ("engine", "server") for path in sorted((ROOT / folder).rglob("*.py"))]
    return [(path, list(ast.walk(ast.parse(path.read_text())))) for path in paths if path not in LISTS]


def test_no_source_spells_an_error_code(sources: list[tuple[Path, list[ast.AST]]]) -> None:
    spelled = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, nodes in sources
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"RT_\d{3}", node.value)
    ]
    assert spelled == []


def test_no_connection_is_closed_with_a_bare_number(sources: list[tuple[Path, list[ast.AST]]]) -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, nodes in sources
        for node in nodes
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", None)) in CLOSES
        and any(isinstance(each, ast.Constant) and isinstance(each.value, int) for each in node.args[:1])
    ]
    assert bare == []


def test_every_error_code_has_an_http_status_and_a_row_with_its_meaning_in_the_docs() -> None:
    assert set(BY_CODE) == set(ErrorCode)
    rows = dict(re.findall(r"^\| `(RT_\d{3})` \| ([^|]+?) \|", PROTOCOL, re.M))
    assert rows == {code.value: code.meaning for code in ErrorCode}


def test_every_error_code_has_a_section_with_its_cause_and_cure() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text()
    sections = re.findall(r"^## (RT_\d{3}): (.*)\n\n\* \*\*Cause\*\*: [^*]+\n\* \*\*Cure\*\*: ", page, re.M)
    assert sections == [(code.value, code.meaning) for code in ErrorCode]
    closes = {int(number) for number in re.findall(r"\b(1\d{3}|4\d{3})\b", page)}
    assert closes - {404, 1024} <= {code.value for code in CloseCode}


def test_every_close_code_has_a_row_in_the_docs() -> None:
    section = PROTOCOL.partition("## Close codes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d{4}) \| ([^|]+?) \| ([^|]+?) \|", section, re.M)
    assert rows == [(str(code.value), code.when, code.reconnect.value) for code in CloseCode]


@pytest.mark.parametrize("code", CloseCode)
def test_a_client_stays_away_only_where_it_was_refused_or_the_connection_was_ended_on_purpose(code: CloseCode) -> None:
    ends = (CloseCode.DISCONNECTED, CloseCode.AUTHENTICATION_FAILED)
    assert (code.reconnect is Reconnect.NEVER) == (code in ends)
