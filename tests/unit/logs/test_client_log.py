"""The log of clients: what hostile clients can cause is bounded, and what was suppressed is counted."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from engine.channels.core.messages.model import Member, PresenceRefusedError, UnavailableError
from engine.errors import ErrorCode, UnknownCollectionError
from server.limits.exceeded import LimitExceededError
from server.logs import clients
from server.logs.clients import REFUSALS_PER_SECOND, ClientLog

ADA = Member("c-1", "ada", {}, "192.0.2.1")


def test_refusals_beyond_a_rate_are_counted_and_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("server.logs.clients.time.monotonic", lambda: now)
    log, error = ClientLog(["authorization"]), ValueError("no")
    with capture_logs() as logs:
        for _ in range(1_000):
            log.denied(ADA, "publish to", "chat:1", error)
        log.unauthenticated("192.0.2.1", "sse", error)
        assert [each["event"] for each in logs] == ["authorization_denied"] * round(REFUSALS_PER_SECOND) + [
            "authentication_refused"
        ], "each event has a rate of its own"
        assert not any("suppressed" in each for each in logs)
        logs.clear()
        now = 110.0
        log.denied(ADA, "publish to", "chat:1", error)
        log.denied(ADA, "publish to", "chat:1", error)
    assert [each.get("suppressed") for each in logs] == [1_000 - round(REFUSALS_PER_SECOND), None]


def test_a_refused_query_is_one_line_with_its_reason() -> None:
    with capture_logs() as logs:
        for log in (ClientLog(["authorization"]), ClientLog()):
            error = UnknownCollectionError("no collection is named 'todo'")
            log.rejected_request(ADA, "query", "db:collection:todo", error)
    [line] = logs
    assert (line["event"], line["code"], line["user"], line["log_level"]) == (
        "query_refused",
        ErrorCode.NOT_FOUND,
        "ada",
        "info",
    )
    assert line["error"] == "no collection is named 'todo'"


def test_other_requests_are_logged_as_refused_unless_they_may_be_tried_again() -> None:
    log = ClientLog(["authorization"])
    with capture_logs() as logs:
        log.rejected_request(ADA, "be present in", "chat:1", PresenceRefusedError("no state"))
        log.rejected_request(ADA, "publish to", "chat:1", UnavailableError("try again"))
        log.refused(ADA, "chat:2", ErrorCode.RATE_LIMITED, "too fast", 0.5)
        log.refused(ADA, "chat:2", ErrorCode.RATE_LIMITED, "too many")
        log.refused(ADA, "chat:2", ErrorCode.NOT_FOUND, "not subscribed")
        ClientLog(["channels"]).refused(ADA, "chat:2", ErrorCode.NOT_FOUND, "not subscribed")
    assert [(each["event"], each["target"], each["code"], each["error"]) for each in logs] == [
        ("request_refused", "chat:1", ErrorCode.PRESENCE_REJECTED, "no state"),
        ("request_refused", "chat:2", ErrorCode.RATE_LIMITED, "too many"),
        ("request_refused", "chat:2", ErrorCode.NOT_FOUND, "not subscribed"),
    ]


def test_a_limit_that_waiting_does_not_raise_is_a_refusal_of_queries_and_of_messages_too() -> None:
    log = ClientLog(["authorization"])
    with capture_logs() as logs:
        for wait in (None, 2.0):
            log.rejected_request(ADA, "query", "db:collection:todo", LimitExceededError("too many", wait))
            log.rejected_request(ADA, "publish to", "chat:1", LimitExceededError("too many", wait))
    assert [(each["event"], each["target"], each["code"]) for each in logs] == [
        ("query_refused", "db:collection:todo", ErrorCode.RATE_LIMITED),
        ("request_refused", "chat:1", ErrorCode.RATE_LIMITED),
    ]


def test_a_kind_that_is_not_set_is_off() -> None:
    log = ClientLog(["channels"])
    assert [kind for kind in clients.KINDS if getattr(log, kind)] == ["channels"]
