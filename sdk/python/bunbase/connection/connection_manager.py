"""Keeps a connection: opens it by the best transport that works, opens it again when it is lost, moves to a better one.

A move opens the new connection fully before it closes the old one. It happens when a better transport than the current one
works again, and when the server asks for it because it is about to stop.

Theory of operation
-------------------

``run`` is one task. The states, as ``on_state`` reports them::

    connecting → connected ⇄ reconnecting → closed | failed
                 connected → transport → connected
    connecting, reconnecting → retrying → connected | failed

connecting, reconnecting
    ``_establish`` tries the transports, the one that worked last first, with growing pauses between the rounds.
connected
    ``_serve``: ``current`` is the link in use. Beside it ``_move`` may open another link.
transport
    The other link has all subscriptions and has taken over; the old one is closed.
retrying
    No state of its own: a round of attempts has failed, for the reason that is reported with it, and there will be another.
failed
    There were too many rounds, or the server has forbidden a reconnect (``_FINAL``).
closed
    The connection is lost, and reconnecting is switched off.

Invariants: one link is in use at most, and one other is being opened at most. A link that takes over from one that
works is opened and subscribed completely before. Each link is closed once, in the background (``closed`` waits for
that, and so does ``run`` when it is cancelled).

Callers: the client (:mod:`bunbase.client.realtime`) runs and cancels the task, and calls ``reconnect_now``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bunbase.connection.link import Link
from bunbase.connection.options import Options
from bunbase.connection.subscription_manager import SubscriptionManager
from bunbase.connection.token_source import TokenSource
from bunbase.core.backoff import full_jitter
from bunbase.protocol.codes import CloseCode, ErrorCode
from bunbase.protocol.errors import ConnectionEndedError, NoTokenError, RealtimeError
from bunbase.transports import TRANSPORTS, Address

__all__ = ["ConnectionManager"]

_log = logging.getLogger("bunbase")

_FINAL = frozenset((CloseCode.DISCONNECTED, CloseCode.AUTHENTICATION_FAILED))
"""The close codes after which a client does not connect again by itself."""

_SHORT_LIVED = 2.0
_BARRIER_TIMEOUT = 2.0


class ConnectionManager:
    """See the module. ``on_state`` is called with a state and, where there is one, the reason for it."""

    def __init__(
        self,
        address: Address,
        options: Options,
        subscriptions: SubscriptionManager,
        on_state: Callable[[str, RealtimeError | None], None],
        tokens: TokenSource,
    ) -> None:
        self.current: Link | None = None
        self.retry_at: float | None = None  # when the next attempt begins, as ``time.monotonic()`` counts
        self._address = address
        self._options = options
        self._subscriptions = subscriptions
        self._on_state = on_state
        self._tokens = tokens
        self._level = 0  # index into options.transports: the last that worked
        self._reached = False  # ever
        self._shaky = 0  # connections in a row that did not last
        self._retry_now = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    def reconnect_now(self) -> None:
        """The network may be back: end the wait, and check the connection."""
        self._retry_now.set()
        if self.current is not None:
            self.current.probe()

    async def run(self) -> None:
        """Keep a connection until it must not or cannot be kept; reports the reason and returns. Cancel to stop."""
        try:
            wait, asked = False, 0.0
            while (link := await self._establish(wait, asked)) is not None:
                ended = await self._serve(link)
                if ended.code in _FINAL:
                    self._report("failed", f"the server ended this connection: {ended}", _error_of(ended))
                    return
                if not self._options.reconnect:
                    self._report("closed", f"the connection was lost: {ended}", _error_of(ended))
                    return
                asked = ended.retry_after
                wait = ended.code not in (CloseCode.RESUME, CloseCode.TOKEN_EXPIRED)
                self._report("reconnecting", f"the connection was lost: {ended}", _error_of(ended))
        finally:
            if self.current is not None:  # it is cancelled
                self._subscriptions.lost()
                self._drop(self.current)
                self.current = None
                await (
                    self.closed()
                )  # a loop that ends, as that of asyncio.run, waits for this task and for no later one

    def _report(self, state: str, reason: str, code: ErrorCode = ErrorCode.CONNECTION_FAILED) -> None:
        self._on_state(state, RealtimeError(code, reason))

    async def closed(self) -> None:
        """Wait until all connections that are being closed are. To cancel that stops no closing."""
        if self._closing:
            await asyncio.wait(self._closing)

    async def _establish(self, wait: bool, asked: float) -> Link | None:
        """Connect, in as many attempts as may be; None if there were too many. ``asked``: seconds to ``wait`` at least."""
        options, failures, problem, of_token = self._options, 0, "", False
        while True:
            if wait or failures:
                await self._back_off(failures - (not wait) + min(self._shaky, 5), asked)
                asked = 0.0
            for name in self._order():
                try:
                    link = await self._open(name)
                except ConnectionEndedError as ended:
                    if ended.code in _FINAL:
                        self._report("failed", str(ended), _error_of(ended))
                        return None
                    problem, asked = str(ended), max(asked, ended.retry_after)
                    of_token = isinstance(ended, NoTokenError)
                    continue
                self._level = options.transports.index(name)
                self._reached = True
                return link
            failures += 1
            if not self._reached and failures == 1:
                doubt = "" if of_token else ": is that the server's address? set url"
                _log.warning(
                    "cannot %s %s (%s)%s", "connect to" if of_token else "reach", self._address.shown, problem, doubt
                )
            if not options.reconnect or failures > options.max_reconnect_attempts:
                break
            self._report("retrying", problem)
        self._report("failed", f"no connection to {self._address.shown} after {failures} attempts: {problem}")
        return None

    def _order(self) -> list[str]:
        """The transport that worked last, then the other ones from the best on."""
        last = self._options.transports[self._level]
        return [last, *(name for name in self._options.transports if name != last)]

    async def _back_off(self, attempt: int, at_least: float) -> None:
        """Wait before an attempt: ``at_least`` these seconds, which the server asked for."""
        delay = at_least + full_jitter(attempt, self._options.reconnect_delay, self._options.max_reconnect_delay)
        self._retry_now.clear()
        self.retry_at = time.monotonic() + delay
        try:
            async with asyncio.timeout(delay):
                await self._retry_now.wait()
        except TimeoutError:
            return
        finally:
            self.retry_at = None

    async def _open(self, name: str) -> Link:
        address = replace(self._address, token=await self._token())
        transport = TRANSPORTS[name](address, self._options.connect_timeout)
        link = Link(transport, self._options, self._subscriptions, self._tokens)
        try:
            await link.open()
        except BaseException:
            await asyncio.wait({self._drop(link)})  # to cancel this, too, does not stop the closing
            raise
        return link

    async def _token(self) -> str | None:
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                return await self._tokens.fresh()
        except TimeoutError as late:
            raise NoTokenError(f"get_token: no answer in {self._options.connect_timeout:g} s") from late

    async def _serve(self, link: Link) -> ConnectionEndedError:
        """Use a connection, and those it is moved to, until it is lost."""
        self.current = link
        self._subscriptions.activate(link)
        self._on_state("connected", None)
        began = time.monotonic()
        while True:
            new = await self._replacement_of(link)
            if new is not None:
                self.current = new
                self._drop(link)
                self._on_state("transport", None)
                link = new
                continue
            ended = link.ended.result()
            self.current = None
            self._subscriptions.lost()
            self._drop(link)
            self._shaky = self._shaky + 1 if time.monotonic() - began < _SHORT_LIVED else 0
            if ended.code == CloseCode.POLICY_VIOLATION:
                self._shaky = max(self._shaky, 3)
            return ended

    async def _replacement_of(self, link: Link) -> Link | None:
        """The connection that has taken over from ``link``; None if ``link`` was lost before."""
        mover = asyncio.create_task(self._move(link))
        waiting: set[asyncio.Future[Any]] = {mover, link.ended}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if mover.done():
                return mover.result()
        except asyncio.CancelledError:
            if mover.done() and not mover.cancelled() and mover.exception() is None:
                self._drop(mover.result())  # it has just taken over, from one that is given up
            raise
        finally:
            mover.cancel()
            await asyncio.gather(mover, return_exceptions=True)
        return None

    async def _move(self, link: Link) -> Link:
        """Wait until there is a reason to move and a connection to move to; it has taken over when this returns."""
        level = self._options.transports.index(link.name)
        while True:
            # Never set for a connection that is the best already and whose server stays.
            timeout = self._options.upgrade_interval if level else None
            await asyncio.wait({link.moving}, timeout=timeout)
            must_move = link.moving.done()
            if must_move:
                await asyncio.sleep(link.moving.result())
            for name in self._options.transports[: level + must_move]:
                new = await self._try_to_move(link, name)
                if new is not None:
                    self._level = self._options.transports.index(name)
                    return new
            if must_move:  # the old one ends anyway, and is then replaced as any lost one
                await link.ended

    async def _try_to_move(self, old: Link, name: str) -> Link | None:
        try:
            new = await self._open(name)
        except ConnectionEndedError:
            return None
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                await self._subscriptions.prepare(new)
            seamless = await old.barrier(_BARRIER_TIMEOUT)
            if new.ended.done():
                raise new.ended.result()
        except (ConnectionEndedError, TimeoutError):
            self._subscriptions.abandon(new)
            self._drop(new)
            return None
        except BaseException:
            self._subscriptions.abandon(new)
            self._drop(new)
            raise
        self._subscriptions.switch(new, seamless=seamless)
        return new

    def _drop(self, link: Link) -> asyncio.Task[None]:
        """Close a connection without waiting for it. Nothing that is cancelled stops that."""
        task = asyncio.create_task(link.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task


def _error_of(ended: ConnectionEndedError) -> ErrorCode:
    """The error of its close code; a connection that was not to end has failed, too, and so has one with an unknown code."""
    known = ended.code in CloseCode.__members__.values()
    return (CloseCode(ended.code).error if known else None) or ErrorCode.CONNECTION_FAILED
