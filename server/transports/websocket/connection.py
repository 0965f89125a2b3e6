"""One WebSocket connection: frames in, frames out, and how much may wait in between.

What one turn of the event loop produces is gathered into one write. When more than ``buffer_size`` bytes wait, the
connection is congested: its live queries are paused and nothing more is read from it, so a client that does not take
its answers cannot ask for more either (TCP holds it back). When the transport has drained below a quarter of that,
both go on. What comes meanwhile waits in an outbox, where messages of higher priority can overtake others. Messages
of channels cannot be paused: they are added up to ``backlog`` bytes, and past that the connection is
closed. Each client can thus make the server hold ``backlog`` bytes plus one event, whatever happens in the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from engine.errors import RealtimeError
from engine.principal import Principal
from server.client.admission import Admission
from server.ports.channels import ChannelEvent, EventBatch
from server.ports.live_queries import LiveEvent
from server.protocol import server_messages
from server.protocol.client_messages import RequestReference
from server.protocol.close_codes import CloseCode
from server.session.lifecycle import State
from server.transports.connection import Admitted, close_code_of
from server.transports.websocket.assembler import Assembler, InvalidFrameError, Message
from server.wire.send_queue import SendQueue

__all__ = ["WebSocketConnection"]

_MESSAGE = 200  # bytes that a kept message takes besides its text


class WebSocketConnection(Admitted, WSListener):
    """The sink of one client, over a picows transport.

    ``closed`` is called once, with the socket closed. ``packed``: MessagePack in binary frames, and text is understood too.
    """

    def __init__(
        self, admission: Admission, closed: Callable[[WebSocketConnection], None], *, packed: bool = False
    ) -> None:
        super().__init__(admission)
        self.congested = False
        self.held = False
        self._wire = admission.services.packed if packed else admission.services.text
        self._packed = packed
        self._closed = closed
        self._transport: WSTransport | None = None
        self._out: list[bytes] = []
        self._out_size = 0
        self._outbox: SendQueue[bytes] = SendQueue()
        self._writing_paused = False
        limits = admission.limits
        self._assembler = Assembler(limits.message_size, limits.message_hard_cap, binary=packed)
        self._early: list[tuple[Message, float]] = []  # what arrived before the client was authenticated, and when
        self.early_size = 0  # bytes of that
        self._heard = True
        self._missed = 0
        self._clean_close = False
        self._ping_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    @property
    def closing(self) -> bool:
        """True once a close frame was sent, or the socket was given up."""
        return self.state.ending

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade is done."""
        self._transport = transport
        high = self._limits.buffer_size
        transport.underlying_transport.set_write_buffer_limits(high=high, low=high // 4)
        self._ping_timer = self._loop.call_later(self._limits.ping_interval, self._ping)
        if (authentication := self._authenticate(self)) is not None:
            authentication.add_done_callback(self._authenticated)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame arrived."""
        self._heard = True
        kind = frame.msg_type
        if (frame.rsv1 or frame.rsv2 or frame.rsv3) and not self.closing:
            self.close(CloseCode.PROTOCOL_ERROR, "no extension was agreed on")
        elif kind == WSMsgType.CLOSE:
            self._answer_close(transport, frame)
        elif self.closing:
            return
        elif kind == WSMsgType.PING:
            if (refusal := self.session.admit(self._loop.time())) is None:
                transport.send_pong(frame.get_payload_as_bytes())
            for each in refusal or ():
                self.close(each.code, each.reason)
        elif kind != WSMsgType.PONG:
            self._assemble(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The socket is closed."""
        self._enter(State.CLOSED)
        self._out.clear()
        self._outbox.clear()
        for timer in (self._ping_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        self._early.clear()
        self._release(left=self._clean_close)
        self._closed(self)

    def pause_writing(self) -> None:
        """The transport holds more than ``buffer_size``."""
        self._writing_paused = True
        self._congest()

    def resume_writing(self) -> None:
        """The transport holds less than a quarter of ``buffer_size``."""
        self._writing_paused = False
        self._drain()

    # What the client calls.

    def send(self, payload: bytes) -> None:
        """Send a message of this client's own."""
        self._write(self._wire.own(payload))

    def send_event(self, head: bytes, event: LiveEvent) -> None:
        """Send a message that others share; its frame is built once for all."""
        self._write(self._wire.events.frame(head, event))

    def send_shared(self, event: ChannelEvent) -> None:
        """Send a channel's message; its frame is built once for all."""
        frame = self._wire.channels.frame(event)
        if self._writing_paused or self._outbox:
            if self.state is State.OPEN:
                self._outbox.add(event.channel, event.priority, frame, len(frame))
        else:
            self._write(frame)

    def send_block(self, block: EventBatch) -> None:
        """Send several of a channel's events; their frames are built once for all."""
        if self._writing_paused or self._outbox:
            for event in block.events:
                self.send_shared(event)
        else:
            self._write(self._wire.channels.block(block))

    @property
    def overflowing(self) -> bool:
        """True while more than ``backlog`` bytes wait."""
        return self.congested and not self.closing and not self._gone() and self._waiting() > self._limits.backlog

    def hold(self, held: bool) -> None:
        """Read nothing more from the client while ``held``."""
        if held == self.held or self.closing or self._gone():
            return
        self.held = held
        self._read_or_not()

    def close(self, code: CloseCode, reason: str) -> None:
        """Send what waits and a close frame; the socket goes when the other side answers, or after some seconds."""
        if self.closing or self._gone():
            return
        assert self._transport is not None
        self._flush()
        if self._outbox:
            self._transport.underlying_transport.write(b"".join(self._outbox.take(self._outbox.size)))
        self._enter(State.DRAINING)
        self._transport.send_close(WSCloseCode(code), reason)
        if self.reading_paused:
            self._transport.underlying_transport.resume_reading()
        self._loop.call_later(self._limits.close_timeout, self._transport.disconnect, False)

    # Writing.

    def _write(self, frame: bytes) -> None:
        if self.state is not State.OPEN:
            return
        if self._writing_paused or self._outbox:
            self._outbox.add(None, 0, frame, len(frame))
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(frame)
        self._out_size += len(frame)
        if self._out_size > self._limits.buffer_size:
            self._congest()

    def _flush(self) -> None:
        if not self._out or self._gone():
            return
        assert self._transport is not None
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self._out_size = 0
        self._transport.underlying_transport.write(data)
        if not self._writing_paused:
            self._relieve()

    def _drain(self) -> None:
        """Write what waited, a part at a time: what comes before the rest is written may overtake it."""
        assert self._transport is not None
        self._flush()
        while self._outbox and not self._writing_paused and not self._gone():
            frames = self._outbox.take(self._limits.buffer_size // 4)
            self._transport.underlying_transport.write(b"".join(frames))
        if not self._writing_paused:
            self._relieve()

    def _congest(self) -> None:
        if self.congested or self.closing or self._gone():
            return
        assert self._transport is not None
        self.congested = True
        self._read_or_not()
        self._watch_stall(self._waiting())
        self.client.congest()

    def _relieve(self) -> None:
        if not self.congested or self.closing or self._gone():
            return
        assert self._transport is not None
        self.congested = False
        if self._stall_timer is not None:
            self._stall_timer.cancel()
        self._read_or_not()
        self.client.relieve()

    def _read_or_not(self) -> None:
        assert self._transport is not None
        if self.reading_paused:
            self._transport.underlying_transport.pause_reading()
        else:
            self._heard = True  # nothing could be heard while reading was paused
            self._transport.underlying_transport.resume_reading()

    @property
    def reading_paused(self) -> bool:
        """Whether nothing is read from the client now."""
        return self.congested or self.held or self.early_size > self._limits.early_size

    def _gone(self) -> bool:
        """True when the transport takes no calls any more; ``on_ws_disconnected`` follows, but later."""
        return self._transport is None or self._transport.underlying_transport.is_closing()

    def _waiting(self) -> int:
        assert self._transport is not None
        return self._out_size + self._outbox.size + self._transport.underlying_transport.get_write_buffer_size()

    # Watching for dead peers.

    def _watch_stall(self, before: int) -> None:
        self._stall_timer = self._loop.call_later(self._limits.stall_timeout, self._check_stall, before)

    def _check_stall(self, before: int) -> None:
        if self._gone():
            return
        waiting = self._waiting()
        if waiting < before:
            self._watch_stall(waiting)
        else:
            self._drop()

    def _ping(self) -> None:
        if self.closing or self._gone():
            return
        assert self._transport is not None
        self._missed = 0 if self._heard or self.reading_paused else self._missed + 1
        self._heard = False
        if self._missed >= self._limits.missed_pings:
            self._drop()
            return
        if not self.congested:
            self._transport.send_ping()
        self._ping_timer = self._loop.call_later(self._limits.ping_interval, self._ping)

    def _drop(self) -> None:
        """End the connection without ceremony: the other side takes nothing."""
        if self._transport is not None:
            if not self.closing:
                self._enter(State.DRAINING)
            self._transport.disconnect(False)

    # Reading.

    def _answer_close(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self.closing:
            self._flush()
            self._enter(State.DRAINING)
            code = int.from_bytes(frame.get_payload_as_bytes()[:2], "big")
            if not frame.payload_size:
                transport.send_close(WSCloseCode.OK)
            elif _may_be_sent(code):
                self._clean_close = (
                    code == CloseCode.NORMAL
                )  # its purpose is fulfilled, says RFC 6455, 7.4.1: not a break
                transport.send_close(cast("WSCloseCode", code))
            else:
                transport.send_close(WSCloseCode.PROTOCOL_ERROR, f"{code} is no close code that can be sent")
        transport.disconnect()
        self._loop.call_later(self._limits.close_timeout, transport.disconnect, False)

    def _assemble(self, frame: WSFrame) -> None:
        try:
            message = self._assembler.add(frame)
        except InvalidFrameError as broken:
            self.close(broken.code, str(broken))
            return
        if message is None:
            return
        if self.state is State.OPEN:
            self._take(message, self._loop.time())
        else:
            self._keep(message)

    def _take(self, message: Message, now: float) -> None:
        """A whole message arrived at ``now``."""
        session = self.session
        if message.too_large:
            outputs = session.receive_oversized(now, b"" if message.binary else message.data)
        elif message.binary:
            outputs = session.receive_packed(message.data, now) if self._packed else session.receive_binary(now)
        else:
            outputs = session.receive(message.data, now)
        self.client.carry_out(outputs)

    # Authentication.

    def _keep(self, message: Message) -> None:
        """Keep a message that arrived before the client was authenticated; the socket is not read from beyond the bound."""
        self._early.append((message, self._loop.time()))
        self.early_size += len(message.data) + _MESSAGE
        if self.reading_paused:
            self._read_or_not()

    def _authenticated(self, task: asyncio.Task[Principal]) -> None:
        if self.state is not State.AUTHENTICATING or task.cancelled() or self._gone():
            return
        if (refusal := task.exception()) is not None:
            self._refuse(refusal)
            return
        self._open(task.result(), self)
        early, self._early = self._early, []
        blocked, self.early_size = self.reading_paused, 0
        for message, arrived in early:
            if not self.closing:
                self._take(message, arrived)
        if blocked and not self.closing and not self._gone():
            self._read_or_not()

    def _refuse(self, refusal: BaseException) -> None:
        if not isinstance(refusal, RealtimeError):
            raise refusal
        assert self._transport is not None
        error = server_messages.error(refusal.code, str(refusal), RequestReference())
        self._transport.underlying_transport.write(self._wire.own(error))
        self.close(close_code_of(refusal), refusal.code.meaning)


def _may_be_sent(code: int) -> bool:
    """Whether a close code may stand in a frame (RFC 6455, 7.4, and IANA's registry)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
