"""Nodes with a webhook of alerts, what it was sent, and the alerts of their database."""

from __future__ import annotations

import hmac
import json
import time
from base64 import b64decode, b64encode
from typing import Any

from tests.support.postgres.sql import connect
from tests.support.servers.webhook import WebhookRequest, WebhookServer
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET

KEY = b64encode(b"k" * 32).decode()


def settings(hook: WebhookServer) -> dict[str, object]:
    return {
        "auth_issuers": [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}],
        "alert_interval": 1,
        "alert_webhook": {"url": hook.url, "secret": f"whsec_{KEY}", "timeout": 30},
        "lease": 3,
        "max_connection_rate": 10_000,
    }


def alerts(dsn: str) -> list[tuple[Any, ...]]:
    """Rule, subject and whether it is open, in order."""
    with connect(dsn) as sql:
        return sql.execute("select rule, subject, cleared_at is null from realtime.alerts order by id").fetchall()


def is_open(dsn: str, rule: str, subject: str) -> bool:
    return (rule, subject, True) in alerts(dsn)


def is_cleared(dsn: str, rule: str, subject: str) -> bool:
    found = alerts(dsn)
    return (rule, subject, False) in found and (rule, subject, True) not in found


def content(request: WebhookRequest) -> dict[str, Any]:
    """The body of a request, if its signature is right (Standard Webhooks)."""
    id, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    signed = b".".join((id.encode(), at.encode(), request.body))
    signature = b64encode(hmac.digest(b64decode(KEY), signed, "sha256")).decode()
    assert request.headers["webhook-signature"] == f"v1,{signature}"
    assert abs(time.time() - int(at)) < 3600
    found: dict[str, Any] = json.loads(request.body)
    return found
