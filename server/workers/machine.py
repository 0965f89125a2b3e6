"""What a machine shows of its workers, and how they reach each other: where there is one, there is nothing to reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from server.observe.endpoint import Families
from server.transports.http_sessions import OtherWorkers
from server.workers.machine_status import Status, of_machine

__all__ = ["Alone", "Machine"]


class Machine(Protocol):
    """The workers of this machine, as one of them sees them."""

    @property
    def others(self) -> OtherWorkers | None:
        """The workers with other sessions; None: there are none."""
        ...

    @property
    def families(self) -> Families | None:
        """The metrics of all workers; None: those of this process are all."""
        ...

    async def start(self) -> None:
        """Reach the others, and be reached."""
        ...

    async def stop(self) -> None:
        """The end of that."""
        ...

    async def status(self) -> Mapping[str, Any]:
        """The body of ``/health``: of all workers together."""
        ...


class Alone:
    """One process. ``status``: of it, with its process."""

    others: OtherWorkers | None = None
    families: Families | None = None

    def __init__(self, status: Status) -> None:
        self._status = status

    async def start(self) -> None:
        """See ``Machine``."""

    async def stop(self) -> None:
        """See ``Machine``."""

    async def status(self) -> Mapping[str, Any]:
        """See ``Machine``."""
        return of_machine([self._status()], 1)
