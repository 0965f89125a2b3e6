"""What the log shows of a failure: where it happened, and no value that it happened with."""

from __future__ import annotations

import asyncio.sslproto
import inspect
import json
import logging
from contextlib import nullcontext
from datetime import UTC, datetime

import httpx
import pytest
import structlog

from server.logs.configure import configure_logs
from server.logs.output import OUTPUT


def fail(token: str) -> None:
    raise ValueError(f"a token of {len(token)} characters")


@pytest.mark.parametrize("format", ["console", "json"])
def test_a_traceback_shows_no_local_variables(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("debug", format)
    try:
        fail("the-" + "secret")
    except ValueError as error:
        structlog.get_logger("realtime.test").error("failed", exc_info=error)
        logging.getLogger("uvicorn.error").exception("failed too")
    shown = capsys.readouterr().err
    assert shown.count("in fail") == 2
    assert "a token of 10 characters" in shown
    assert "the-secret" not in shown


@pytest.mark.parametrize("level", ["debug", "info"])
def test_addresses_that_the_server_asks_at_are_not_logged(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The query of a webhook's address, or of that of a key set, may have a key."""
    configure_logs(level, "json")
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client:
        client.get("https://auth.example/judge?key=the-secret")
    logging.getLogger("httpcore.http11").debug("send_request_headers: /judge?key=the-secret")
    assert "the-secret" not in capsys.readouterr().err


def test_ends_of_tls_connections_to_nats_are_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    text = "returning true from eof_received() has no effect when using ssl"
    assert "returning true from eof_received()" in inspect.getsource(asyncio.sslproto)
    configure_logs("info", "json")
    logging.getLogger("asyncio").warning(text)
    logging.getLogger("asyncio").warning("another")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["another"]


def test_what_orjson_cannot_write_is_written_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    log = structlog.get_logger("realtime.test")
    log.info("surrogate", text="a\ud800b")
    log.info("large", number=2**70)
    log.info("odd", number=float("nan"))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [lines[0]["text"], lines[1]["number"], lines[2]["number"]] == ["a\ud800b", 2**70, None]


def test_a_line_of_a_logger_has_its_level_name_and_what_is_bound_as_one_of_a_library(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("info", "json")
    with structlog.contextvars.bound_contextvars(worker=2):
        structlog.get_logger("realtime.test").warning("named_event", field=1)
        logging.getLogger("a.library").warning("a %s", "sentence", extra={"field": 1})
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    for line in (ours, theirs):
        assert line.pop("timestamp").endswith("Z")
    assert ours == {"event": "named_event", "field": 1, "worker": 2, "level": "warning", "logger": "realtime.test"}
    assert theirs == {"event": "a sentence", "field": 1, "worker": 2, "level": "warning", "logger": "a.library"}


def test_a_form_that_is_set_later_is_that_of_a_logger_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    log = structlog.get_logger("realtime.test")
    log.info("shown")
    configure_logs("info", "console")
    log.error("shown_too")
    first, second = capsys.readouterr().err.splitlines()
    assert json.loads(first)["event"] == "shown"
    assert "shown_too" in second
    assert not second.startswith("{")


@pytest.mark.parametrize("apart", [False, True], ids=["at_once", "by_a_thread"])
def test_a_line_has_its_values_time_and_context_as_they_were_when_it_was_logged(
    apart: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("info", "json")
    log = structlog.get_logger("realtime.test")
    items = [1]
    before = datetime.now(UTC)
    with structlog.contextvars.bound_contextvars(worker=2), OUTPUT.apart() if apart else nullcontext():
        log.debug("hidden")
        log.info("plain", text="x", none=None, flag=True)
        log.info("listed", items=items)
        try:
            raise ValueError("wrong")
        except ValueError:
            log.exception("failed")
        after = datetime.now(UTC)
        items.append(2)
    plain, listed, failed = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert before <= datetime.fromisoformat(plain.pop("timestamp")) <= after
    assert plain == {
        **{"event": "plain", "text": "x", "none": None, "flag": True},
        **{"worker": 2, "level": "info", "logger": "realtime.test"},
    }
    assert listed["items"] == [1]
    assert failed["level"] == "error"
    assert failed["exception"].endswith("ValueError: wrong")
