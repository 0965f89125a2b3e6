"""The stream in another region: a mirror of the relay's stream, which NATS servers near the nodes fill by themselves.

Theory of operation
-------------------
The servers of a region are a leaf node of the primary region's, with a JetStream domain of their own. A mirror has the
messages of its origin under their sequence numbers, so whatever holds of the stream holds of it: a place is found by
position, and a message that does not follow the one before ends a session. Each message crosses once, however many nodes
read it. Nodes make the mirror, since it is gone where the servers of a region were wiped.

Three things are different, and looked at here:

* A mirror may lack the end of its origin. What a node knows would be ahead of such a stream, as if the server had lost
  transactions. So a session begins once the mirror has what its origin had when it was asked.
* A mirror of a stream that was wiped or made again takes no notice of that: it waits for sequence numbers behind its last
  one, passes over what came before, and shows no lag. So it bears the time at which its origin was made, and is made again
  where this differs, or where it has more than its origin. (NATS 2.15, ``setupMirrorConsumer`` in server/stream.go.)
* Both need an answer of the origin, which crosses. It is asked when a session begins, and when nothing has come for longer
  than the relay's signs of life are apart. Without an answer a mirror stays as it is: it goes on when the link does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import structlog
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, ExternalStream, RetentionPolicy, StreamConfig, StreamInfo, StreamSource
from nats.js.errors import NotFoundError, ServiceUnavailableError

from engine.cluster.nats_errors import NatsFailedError, explained
from engine.cluster.nats_stream import NatsStream
from engine.cluster.settings import ClusterSettings
from engine.tasks import end

__all__ = ["Mirror"]

_log = structlog.get_logger(__name__)

_TIMEOUT: Final = 2.0  # seconds for an answer
_ORIGIN: Final = "realtime_origin"  # key of the metadata
_CATCHES_UP: Final = 5.0  # seconds that a session waits for the mirror before it ends, and another begins
_LOOK: Final = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class _Looked:
    """The mirror (None: there is none), and then its origin."""

    mirror: StreamInfo | None
    origin: StreamInfo

    @property
    def stale(self) -> str:
        """Why the mirror does not follow its origin; "" if it does."""
        if self.mirror is None:
            return ""
        if (self.mirror.config.metadata or {}).get(_ORIGIN) != _made(self.origin):
            return "its origin was made again"
        if self.mirror.state.last_seq > self.origin.state.last_seq:
            return "its origin has lost messages"
        return ""

    @property
    def lacks(self) -> int:
        """Messages of the origin that the mirror does not have."""
        have = 0 if self.mirror is None else self.mirror.state.last_seq
        return max(0, self.origin.state.last_seq - have) if self.origin.state.messages else 0


class Mirror:
    """The mirror that a connection to a region's NATS reads. Its methods raise ``NatsFailedError``.

    Args:
        stream: the connection.
        settings: with the ``origin``.

    ``lag``: messages that the mirror lacks, as far as the region's NATS knows.
    """

    def __init__(self, stream: NatsStream, settings: ClusterSettings) -> None:
        assert settings.origin is not None, "the stream is a mirror"
        self._settings = settings
        self._here: JetStreamContext = stream.client.jetstream(timeout=_TIMEOUT)
        self._there: JetStreamContext = stream.client.jetstream(timeout=_TIMEOUT, domain=settings.origin)
        self.lag = 0

    async def _catch_up(self) -> None:
        """Make the mirror where it is missing or stale, and wait until it has what its origin has now."""
        looked = await self._look()
        if looked.stale:
            _log.warning("mirror_removed", stream=self._settings.stream, reason=looked.stale)
            with explained():
                await self._here.delete_stream(self._settings.stream)
        if looked.mirror is None or looked.stale:
            await self._make(looked.origin)
        deadline = time.monotonic() + _CATCHES_UP
        while lacks := _Looked(await self._info(), looked.origin).lacks:
            if time.monotonic() > deadline:
                raise NatsFailedError(f"the mirror of this region lacks {lacks} messages of its origin")
            await asyncio.sleep(_LOOK)

    async def during(self, follow: Callable[[], Coroutine[Any, Any, None]], silent: Callable[[], float]) -> None:
        """Wait for the mirror, then run ``follow`` for as long as the mirror follows its origin.

        ``silent``: seconds for which nothing has come. Raises what ``follow`` raises.
        """
        await self._catch_up()
        tasks = [asyncio.create_task(each) for each in (follow(), self._watch(silent))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in tasks:
                if each.done():
                    each.result()
        finally:
            await end(tasks)

    async def _watch(self, silent: Callable[[], float]) -> None:
        """Raise once the mirror does not follow its origin any more."""
        beat = self._settings.beat
        while True:
            await asyncio.sleep(beat)
            info = await self._info()
            self.lag = 0 if info is None or info.mirror is None else info.mirror.lag or 0
            if silent() < 2 * beat:
                continue
            try:
                stale = (await self._look()).stale
            except NatsFailedError:
                continue  # the link is cut, or there is no stream
            if stale:
                raise NatsFailedError(f"the mirror of this region has to be made again: {stale}")

    async def problem(self) -> str:
        """What an operator has to know of the mirror, in words; "" if it follows its origin."""
        looked = await self._look()
        if looked.mirror is None:
            return "it is missing: a node of this region makes it"
        return looked.stale and f"{looked.stale}: a node of this region makes it again"

    async def _look(self) -> _Looked:
        mirror = await self._info()
        if mirror is not None and not self._follows(mirror.config):
            raise NatsFailedError(
                f"{self._settings.stream} is no mirror of domain {self._settings.origin}: nats_origin is for nodes whose "
                "nats_url has the NATS servers of another region"
            )
        with explained():
            try:
                return _Looked(mirror, await self._there.stream_info(self._settings.stream))
            except NotFoundError:
                raise NatsFailedError("the primary region has no stream: start a relay (`realtime relay`)") from None
            except ServiceUnavailableError:  # nothing in this account answers
                domain = self._settings.origin
                raise NatsFailedError(f"this region's NATS is not joined with that of domain {domain}") from None

    async def _info(self) -> StreamInfo | None:
        with explained():
            try:
                return await self._here.stream_info(self._settings.stream)
            except NotFoundError:
                return None

    def _follows(self, config: StreamConfig) -> bool:
        external = None if config.mirror is None else config.mirror.external
        return external is not None and external.api == self._api

    @property
    def _api(self) -> str:
        return f"$JS.{self._settings.origin}.API"

    async def _make(self, origin: StreamInfo) -> None:
        settings = self._settings
        source = StreamSource(name=settings.stream, external=ExternalStream(self._api, settings.crossing))
        config = StreamConfig(
            name=settings.stream,
            mirror=source,
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            max_bytes=settings.max_bytes,
            max_age=settings.max_age,
            num_replicas=settings.replicas,
            allow_direct=True,
            metadata={_ORIGIN: _made(origin)},
        )
        with explained():
            await self._here.add_stream(config)
        _log.info("mirror_made", stream=settings.stream, origin=settings.origin)


def _made(stream: StreamInfo) -> str:
    """When a stream was made: distinguishes streams of one name."""
    made: Any = stream.created
    return "" if made is None else str(made.isoformat())
