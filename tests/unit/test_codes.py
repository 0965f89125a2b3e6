"""Error and close codes: one list of each, which code and documentation agree with."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from bunbase.protocol.codes import CloseCode as SdkCloseCode

from server.http.problems import BY_CODE
from server.protocol.close_codes import CloseCode, Reconnect
from server.protocol.error_codes import ErrorCode
from tests.support.sources import Source, called, python_files, read_source

ROOT = Path(__file__).parents[2]
PROTOCOL = (ROOT / "docs/reference/protocol.md").read_text()
LISTS = {ROOT / "engine/errors.py", ROOT / "server/protocol/close_codes.py"}
CLOSES = {"close", "Close", "InvalidFrameError", "ConnectionEndedError"}


def sources() -> list[tuple[Path, Source]]:
    paths = [path for folder in ("engine", "server") for path in python_files(ROOT / folder)]
    return [(path, read_source(path)) for path in paths if path not in LISTS]


def test_no_source_spells_an_error_code() -> None:
    spelled = [
        f"{path.relative_to(ROOT)}:{line}"
        for path, source in sources()
        for text, line in source.texts
        if re.fullmatch(r"RT_\d{3}", text)
    ]
    assert spelled == []


def test_no_connection_is_closed_with_a_bare_number() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path, source in sources()
        for call in source.calls
        if called(call) in CLOSES and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, int)
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


def test_every_close_code_stands_for_an_error_code_and_the_docs_name_it() -> None:
    page = (ROOT / "docs/reference/errors.md").read_text()
    rows = re.findall(r"^\| (\d{4}) \| ([^|]+?) \| (?:\[`(RT_\d{3})`\]\(#rt_\d{3}-[a-z-]+\)|none) \|", page, re.M)
    assert rows == [(str(code.value), code.when, "" if code.error is None else code.error.value) for code in CloseCode]
    assert [code for code in CloseCode if code.error is None] == [CloseCode.NORMAL]
    for section in page.split("\n## ")[1:]:
        closes = {int(number) for number in re.findall(r"\b(1\d{3}|4\d{3})\b", section.partition("\n* **Cure**")[0])}
        if section.startswith("RT_"):
            assert closes == {code.value for code in CloseCode if code.error == section[:6]}, section


def test_the_sdk_has_the_error_of_every_close_code() -> None:
    sdk = {code.value: code.error and str(code.error) for code in SdkCloseCode}
    assert sdk == {code.value: code.error and str(code.error) for code in CloseCode}


def test_every_close_code_has_a_row_in_the_docs() -> None:
    section = PROTOCOL.partition("## Close codes")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d{4}) \| ([^|]+?) \| ([^|]+?) \|", section, re.M)
    assert rows == [(str(code.value), code.when, code.reconnect.value) for code in CloseCode]


@pytest.mark.parametrize("code", CloseCode)
def test_a_client_stays_away_only_where_it_was_refused_or_the_connection_was_ended_on_purpose(code: CloseCode) -> None:
    ends = (CloseCode.DISCONNECTED, CloseCode.AUTHENTICATION_FAILED)
    assert (code.reconnect is Reconnect.NEVER) == (code in ends)
