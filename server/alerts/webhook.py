"""Sends alerts to a webhook: signed, at least once, in attempts whose times stand in ``realtime.alert_notices``.

Redirects are failures: the address comes from the configuration alone. A receiver knows a notice that comes again by its
``webhook-id``, which no other database has.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import httpx
import msgspec

from engine.errors import BunbaseError
from server.alerts.settings import AlertWebhook
from server.webhook_signature import signature_headers

__all__ = ["NotDeliveredError", "WebhookSender"]

_HEADERS: Final = {"Content-Type": "application/json"}


class NotDeliveredError(BunbaseError):
    """The webhook did not accept a notice; the text has the reason."""


class WebhookSender:
    """Sends to one webhook."""

    def __init__(self, settings: AlertWebhook) -> None:
        self._url = settings.url
        self._key = settings.signing_key()
        self._http = httpx.AsyncClient(timeout=settings.timeout, follow_redirects=False)

    async def close(self) -> None:
        """End the connections."""
        await self._http.aclose()

    async def send(self, event: str, alert: Mapping[str, Any], source: Mapping[str, Any]) -> None:
        """Send one notice: ``{"type", "timestamp", "source", "data"}``. ``source``: the database; its ``id`` is its own.

        Raises ``NotDeliveredError``.
        """
        at = alert["raised_at"] if event == "alert.raised" else alert["cleared_at"]
        body = msgspec.json.encode({"type": event, "timestamp": at, "source": source, "data": alert})
        id = f"{event.replace('.', '_')}_{source['id']}_{alert['id']}"
        headers = {**_HEADERS, **signature_headers(self._key, id, int(time.time()), body)}
        try:
            # What it answers is of no use, however long it is.
            async with self._http.stream("POST", self._url, content=body, headers=headers) as answer:
                status = answer.status_code
        except httpx.HTTPError as error:
            raise NotDeliveredError(str(error) or type(error).__name__) from error
        if not 200 <= status < 300:
            raise NotDeliveredError(f"the answer has the status {status}")
