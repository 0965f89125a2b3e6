"""What the log shows of a failure: where it happened, and no value that it happened with."""

from __future__ import annotations

import logging

import httpx
import pytest
import structlog

from server.logs.configure import configure_logs


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
