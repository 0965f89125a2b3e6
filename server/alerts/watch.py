"""The alerts of one node: it measures, has PostgreSQL compare that with the rules, and sends what is to be sent.

Each node gives its own measures; the first of the running nodes those of all nodes and slots, too. PostgreSQL raises and
clears (``realtime.judge_alerts``), so that an alert is raised once, however many nodes there are, and outlives each of them.
Notices are rows, and each node sends those that are due: whichever has claimed one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
import structlog

from engine.background import BackgroundService
from engine.errors import RealtimeError
from engine.tasks import every
from server.alerts.measures import Measures
from server.alerts.webhook import NotDeliveredError, WebhookSender
from server.statistics.writer import Write

__all__ = ["AlertWatch"]

_PASSING: Final = (RealtimeError, psycopg.Error, OSError)
_AT_ONCE: Final = 100  # notices that one pass sends

_log = structlog.get_logger(__name__)


class AlertWatch(BackgroundService):
    """See the module. ``write`` reaches the database of the node called ``node_id``; ``interval``: seconds between passes.

    ``clock``: seconds, never going back.
    """

    def __init__(
        self,
        node_id: str,
        measures: Measures,
        write: Write,
        interval: float,
        sender: WebhookSender | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__("alerts")
        self._node = node_id
        self._measures = measures
        self._write = write
        self._interval = interval
        self._sender = sender
        self._clock = clock

    def start(self) -> None:
        """Begin to measure."""
        self._background.spawn(every(self._interval, self.judge, self._failed, _PASSING))
        if self._sender is not None:
            self._background.spawn(every(self._interval, self._notify, self._failed, _PASSING))

    async def stop(self) -> None:
        """Stop measuring."""
        await self._background.stop()
        if self._sender is not None:
            await self._sender.close()

    async def judge(self) -> None:
        """One pass. Raises ``RealtimeError`` or ``psycopg.Error``."""
        measured = self._measures.take(self._clock())
        await self._write("alerts_judge", node=self._node, measures=list(measured), values=list(measured.values()))
        await self._write("alerts_announce")

    async def _notify(self) -> None:
        for _ in range(_AT_ONCE):
            due = await self._write("alerts_claim")
            if not due:
                return
            await self._send(due[0])

    async def _send(self, notice: dict[str, Any]) -> None:
        assert self._sender is not None
        alert, event = notice["alert_id"], notice["event"]
        try:
            await self._sender.send(event, notice["alert"], notice["source"])
        except NotDeliveredError as error:
            _log.warning("alert_not_delivered", alert=alert, event_name=event, error=str(error))
            await self._write("alerts_not_delivered", alert=alert, event=event, error=str(error))
        else:
            await self._write("alerts_delivered", alert=alert, event=event)

    def _failed(self, error: Exception) -> None:
        _log.info("alerts_not_judged", error=" ".join(str(error).split()))
