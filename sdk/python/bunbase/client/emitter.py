"""Listeners: ``on`` and ``off``, for functions and coroutine functions.

Functions are called at once. Coroutines of one emitter run one after the other, in the order of the events, so a listener
may await a send without holding up the connection. The exception of a listener goes to the event loop's exception
handler and affects no other listener.
"""

from __future__ import annotations

import asyncio
import logging
import re
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Any, ClassVar, TypeVar, overload

from bunbase.protocol.errors import RealtimeError
from bunbase.protocol.expected import expect_function, expect_text

__all__ = ["Emitter", "Listener"]

_log = logging.getLogger("bunbase")

Listener = Callable[..., object]
L = TypeVar("L", bound=Listener)


class Emitter:
    """Base of classes with events."""

    _EVENTS: ClassVar[tuple[str, ...]] = ()
    """The names of all events of its own; empty where they are free."""
    _WITHDRAWN: ClassVar[Mapping[str, str]] = {}
    """Events that still happen, for those who know them, and what is to be used in their place."""
    _OWN: ClassVar[re.Pattern[str]] = re.compile("")
    """What names of events of its own begin with: others are free."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Listener]] = {}
        self._waiting: deque[Awaitable[object]] = deque()
        self._worker: asyncio.Task[None] | None = None

    @overload
    def on(self, event: str, listener: L) -> L: ...

    @overload
    def on(self, event: str) -> Callable[[L], L]: ...

    def on(self, event: str, listener: L | None = None) -> L | Callable[[L], L]:
        """Call ``listener`` whenever ``event`` happens; without a listener it is a decorator.

        Raises:
            ValueError: there is no such event.
            TypeError: the listener is no function.
        """
        self._expect(event)
        if event in self._WITHDRAWN:
            text = f"the event {event!r} is withdrawn: {self._WITHDRAWN[event]}"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
        if listener is None:
            return partial(self._add, event)
        return self._add(event, listener)

    def _expect(self, event: str) -> None:
        expect_text("event", event)
        known = event in self._EVENTS or event in self._WITHDRAWN
        if self._EVENTS and not known and self._OWN.match(event):
            near = get_close_matches(event, self._EVENTS, n=1)
            guess = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"no event is named {event!r}{guess} There are {', '.join(self._EVENTS)}")

    def _add(self, event: str, listener: L) -> L:
        expect_function(event, listener)
        self._listeners.setdefault(event, []).append(listener)
        self._listened(event)
        return listener

    def _listened(self, event: str) -> None:
        """There is one more listener. To be overridden."""

    def off(self, event: str, listener: Listener | None = None) -> None:
        """Do not call ``listener`` any more; without one: none of that event.

        Raises:
            ValueError: there is no such event.
            TypeError: the listener is no function.
        """
        self._expect(event)
        if listener is not None:
            expect_function(event, listener)
        if listener is None:
            self._listeners.pop(event, None)
        elif listener in (listeners := self._listeners.get(event, [])):
            listeners.remove(listener)

    def _report_error(self, error: RealtimeError) -> None:
        """Deliver an ``error``; without a listener it is logged, so that it is never silent."""
        if not self._listeners.get("error"):
            _log.error('%s; add a listener: on("error", …)', error)
        self._deliver("error", error)

    def _deliver(self, event: str, *arguments: Any, also: str | None = None) -> bool:
        """Call the listeners of the event, then those of ``also`` that are there now. Returns whether there are any."""
        names = (event,) if also in (None, event) else (event, also)
        listeners = [listener for name in names for listener in self._listeners.get(name or "", ())]
        for listener in listeners:
            try:
                outcome = listener(*arguments)
            except Exception as error:  # noqa: BLE001 - an application's listener; reported, not swallowed
                self._report(error, event)
                continue
            if isinstance(outcome, Awaitable):
                self._waiting.append(outcome)
        if self._waiting and self._worker is None:
            self._worker = asyncio.create_task(self._work())
            self._worker.add_done_callback(self._stopped_working)
        return bool(listeners)

    async def _work(self) -> None:
        try:
            while self._waiting:
                try:
                    await self._waiting.popleft()
                except asyncio.CancelledError:
                    if (task := asyncio.current_task()) is None or task.cancelling():
                        raise
                    # else what the listener awaited was cancelled, which concerns no other
                except Exception as error:  # noqa: BLE001 - as above
                    self._report(error, "an event")
        finally:
            self._worker = None

    def _stopped_working(self, task: asyncio.Task[None]) -> None:
        """If it was cancelled, perhaps before it began, the loop ends: what waits will not be awaited any more."""
        if task.cancelled():
            self._worker = None
            for outcome in self._waiting:
                if asyncio.iscoroutine(outcome):
                    outcome.close()
            self._waiting.clear()

    def _report(self, error: Exception, event: str) -> None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": f"a listener of {event!r} failed", "exception": error}
        )
