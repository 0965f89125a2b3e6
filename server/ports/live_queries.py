"""The live query service as connections use it: the interface between ``server`` and ``engine.live``.

Everything is called in the event loop; ``deliver`` is called synchronously.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from engine.errors import QueryRejectedError
from engine.identity.principal import Principal
from engine.live.core.resume_log import Resume
from engine.live.core.shared_query import LiveQuery
from engine.live.query_accounts import ConnectionAccount
from engine.lsn import Lsn
from engine.query.explaining import Explanation

__all__ = ["LiveEvent", "LiveQueryService", "LiveSubscription"]


class LiveEvent(Protocol):
    """One change of a window, the same object for all its subscribers; ``error`` set: the subscription has ended."""

    @property
    def position(self) -> Lsn:
        """The commit whose effect this is."""

    @property
    def reset(self) -> bool:
        """True: discard the list, the changes build a new one."""

    @property
    def changes_json(self) -> bytes:
        """The changes as an encoded JSON array."""

    @property
    def delta_json(self) -> bytes:
        """The same for a client that has the list: without what it can take from there."""

    @property
    def error(self) -> QueryRejectedError | None:
        """The reason why the server ended the subscription; None: it continues."""

    @property
    def meta(self) -> bytes | None:
        """The annotation, a JSON object, of the one transaction that made the changes; None: none, or of several."""

    @property
    def committed_at(self) -> int | None:
        """When it was committed, in microseconds since 1970 by the clock of the database; None: it is no commit's."""


class LiveSubscription(Protocol):
    """One subscriber's hold on a window."""

    @property
    def strategy(self) -> str:
        """``incremental`` or ``re-read``."""

    @property
    def reason(self) -> str | None:
        """Why it is not followed incrementally; None if it is."""

    @property
    def position(self) -> Lsn:
        """No commit after this one can be missed."""

    @property
    def epoch(self) -> str:
        """The epoch of the positions to resume from."""

    @property
    def recovered(self) -> bool | None:
        """Whether it resumes from the client's position; None if no position was given."""

    def begin(self) -> None:
        """Deliver the current rows (or the missed changes) now, and every later change in order."""

    def cancel(self) -> None:
        """Stop delivering."""

    def pause(self) -> None:
        """Stop delivering; the list delivered so far is remembered."""

    def resume(self) -> None:
        """Deliver the difference from that list to the current one in one event, then go on."""


class LiveQueryService(Protocol):
    """The live-query service."""

    @property
    def queries(self) -> Iterable[LiveQuery]:
        """The live queries that are kept. To be looked through at once."""

    async def explain(self, query: LiveQuery) -> Explanation:
        """How PostgreSQL reads one of them."""
        ...

    async def subscribe(
        self,
        principal: Principal,
        collection: str,
        spec: Mapping[str, object],
        deliver: Callable[[LiveSubscription, LiveEvent], None],
        resume: Resume | None = None,
        account: ConnectionAccount | None = None,
    ) -> LiveSubscription:
        """Open a live query for ``principal``, within the limits of ``account``.

        Raises ``QueryRejectedError`` if it cannot be accepted.
        """
        ...

    async def shown(self, subscriptions: Iterable[Any]) -> None:
        """Wait until each of ``subscriptions`` was delivered what the stream has brought by now."""

    async def reopen(self, principal: Principal, subscription: Any) -> None:
        """``principal`` has other claims: ``subscription`` gets the difference to what it may see now, or ends."""
        ...
