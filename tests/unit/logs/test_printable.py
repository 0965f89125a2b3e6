"""What clients choose does not steer the terminal that shows the log, and begins no line of it."""

from __future__ import annotations

import json
import logging
import unicodedata
from typing import Final

import pytest
import structlog

from server.logs.configure import configure_logs

# Control characters (C0, C1, DEL), separators of lines, directions of writing (UAX 9) and what is invisible.
CHOSEN: Final = "".join(
    character
    for character in map(chr, (*range(0x250), *range(0x2000, 0x2070), 0xFEFF, 0xFFF9, 0xE0001))
    if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")
)


def log_everything(text: str) -> None:
    log = structlog.get_logger("realtime.test")
    log.warning(f"event {text}")
    log.warning("fields", channel=text, target=f"a {text}", event_name=f"'{text}'", id=text * 2)
    log.warning("nested", options={"list": [text, {text: text}]}, of=(text,), error=ValueError(text))
    logging.getLogger("uvicorn.error").warning("of the library: %s", text)
    logging.getLogger("uvicorn.error").warning("with extra", extra={"channel": text})


def test_no_character_that_steers_a_terminal_reaches_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("debug", "console")
    for character in CHOSEN:
        log_everything(f"a{character}b")
        lines = capsys.readouterr().err.split("\n")
        assert len(lines) == 6, lines
        assert lines.pop() == ""
        assert [line for line in lines if not line.isprintable()] == []


def test_lines_of_json_are_ascii_and_keep_what_was_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("debug", "json")
    log_everything(CHOSEN)
    shown = capsys.readouterr().err
    assert shown.isascii()
    lines = [json.loads(line) for line in shown.split("\n") if line]
    assert len(lines) == 5
    assert lines[1]["channel"] == CHOSEN
    assert all(line.isprintable() for line in shown.split("\n"))


def test_a_traceback_keeps_its_lines_and_nothing_else_that_steers(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("debug", "console")
    try:
        raise ValueError("a\x9b2Jb\u2028c\u202ed")
    except ValueError as error:
        structlog.get_logger("realtime.test").error("failed", exc_info=error)
        logging.getLogger("uvicorn.error").exception("failed too")
    lines = capsys.readouterr().err.split("\n")
    assert lines.count("Traceback (most recent call last):") == 2
    assert lines.count("ValueError: a\\u009b2Jb\\u2028c\\u202ed") == 2
    assert all(line.isprintable() for line in lines)
