"""One WebSocket connection: frames in, frames out, pings.

Theory of operation
-------------------

A connection has three states, each with its own transitions: ``state`` (:mod:`server.session.lifecycle`), ``writing`` and
``pauses`` (:mod:`server.transports.base.backpressure`). What moves them here:

============================  ==============================================================================================
picows has upgraded           ``state``: AUTHENTICATING, and OPEN at once if the principal is known
the principal is found        OPEN; what came before is carried out. Refused: DRAINING
``close``, or a close frame   DRAINING. The queue is written, then the close frame; reading goes on, for the answer to it
the socket is closed          CLOSED; also after ``close_timeout``, and for a client that is dropped
``pause_writing``             ``writing``: BLOCKED, the transport holds more than ``buffer_size``. Frames wait in the queue,
                              where those of higher priority can overtake others
``resume_writing``            CONGESTED, the transport holds a quarter of that at most. The queue is written, a part at a
                              time: then FLOWING, or BLOCKED again
a turn of the loop ends       what it put into the queue is written (:mod:`server.wire.write_turns`), unless BLOCKED
much is read at once          ``pauses``: TURN, until the next turn
an address used up its share  SHARE, until it has processor time again; of a busy one until its turn has come
much came before OPEN         EARLY, until it is carried out
============================  ==============================================================================================

CONGESTED and INTAKE pause reading as on every transport; TCP holds a client back that is not read from. A client that takes
nothing for ``stall_timeout`` while ``writing`` is not FLOWING is dropped, and so is one that is read from and shows no sign
of life.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from picows import WSCloseCode, WSFrame, WSListener, WSTransport

from engine.errors import RealtimeError
from engine.identity.principal import Principal
from server.auth.refusal import AuthenticationError
from server.client.admission import Admission
from server.limits.read_turns import LEAST
from server.protocol import server_messages
from server.protocol.client_messages import RequestReference
from server.protocol.close_codes import CloseCode, reason_of
from server.session.actions import Output
from server.session.lifecycle import State
from server.transports.base.backpressure import Pause, Writing
from server.transports.base.client_connection import ClientConnection, close_code_of
from server.transports.base.stall_timer import NO_STALLS, StallTimer
from server.transports.websocket.assembler import Assembler, InvalidFrameError, Message
from server.transports.websocket.closing import answer_close
from server.transports.websocket.early import EarlyMessages
from server.transports.websocket.frame_kinds import CLOSE, PING, PONG, TEXT
from server.wire.frame import write_frames
from server.wire.wheels import Wheel

__all__ = ["WebSocketConnection"]

# Members that each write or frame looks at: an attribute of an enumeration is slow to find.
_BLOCKED: Final = Writing.BLOCKED
_CONGESTED: Final = Writing.CONGESTED


class WebSocketConnection(ClientConnection, WSListener):
    """A client over a picows transport.

    ``closed`` is called once, with the socket closed. ``packed``: MessagePack in binary frames, and text is understood too.
    """

    _read_closing = 0  # bytes
    _stall = NO_STALLS  # until the first congestion

    def __init__(
        self, admission: Admission, closed: Callable[[WebSocketConnection], None], *, packed: bool = False
    ) -> None:
        wires, limits = admission.services.wires, admission.limits
        super().__init__(admission, wires.packed if packed else wires.text)
        self._write_turns = admission.services.write_turns
        self._packed = packed
        self._closed = closed
        self._transport: WSTransport | None = None
        self._share = admission.share
        self._assembler = Assembler(limits.message_size, limits.message_hard_cap, binary=packed)
        self.early: EarlyMessages | None = None  # until they are carried out
        self._arrived: list[Message] | None = None  # in the read that is being taken apart
        self._silent = 0  # pings since the client's last sign of life
        self._place: int | None = None  # on the wheel of pings

    # Callbacks of picows.

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The upgrade is done."""
        self._transport = transport
        high = self._limits.buffer_size
        transport.underlying_transport.set_write_buffer_limits(high=high, low=high // 4)
        self._place = self._pings.enter(self)
        try:
            authentication = self._authenticate()
        except AuthenticationError as refusal:
            self._refuse(refusal)
        else:
            if authentication is not None:
                authentication.add_done_callback(self._authenticated)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One frame arrived."""
        self._silent = 0
        kind = frame.msg_type
        reserved = frame.rsv1 or frame.rsv2 or frame.rsv3
        if kind != TEXT or reserved:
            self.carry_out()
        elif not self.state.ending:  # as almost all
            return self._assemble(frame)
        if reserved and not self.state.ending:
            self.close(CloseCode.PROTOCOL_ERROR, "no extension was agreed on")
        elif kind == CLOSE:
            self._answer_close(transport, frame)
        elif kind == PING and not self.state.ending:
            if (refusal := self.session.admit(self._loop.time())) is None:
                transport.send_pong(frame.get_payload_as_bytes())
            for each in refusal or ():
                self.close(each.code, each.reason)
        elif kind != PONG and not self.state.ending:
            self._assemble(frame)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The socket is closed."""
        self._enter(State.CLOSED)
        self.queue.clear()
        self.early = None
        self._stall.stop()
        if self._share is not None:
            self._share.leave(self)
        self._release()
        self._closed(self)
        self._transport = None

    def pause_writing(self) -> None:
        """The transport holds more than ``buffer_size``."""
        self._pause_queries(Writing.BLOCKED)

    def resume_writing(self) -> None:
        """The transport holds less than a quarter of ``buffer_size``."""
        self.writing = _CONGESTED
        self.write_queued()

    def _enter(self, state: State) -> None:
        super()._enter(state)
        if state.ending and self._place is not None:
            self._pings.leave(self, self._place)
            self._place = None

    # Writing.

    def _schedule(self) -> None:
        if self.writing is not _BLOCKED:
            self._write_turns.add(self)

    def _much_waits(self) -> None:
        self._write_turns.have_next()

    def write_queued(self) -> None:
        """Write the queue a part at a time: a later frame of higher priority may overtake the rest."""
        if self._transport is None:
            return
        transport, queue = self._transport.underlying_transport, self.queue
        while queue.size and self.writing is not _BLOCKED and not transport.is_closing():
            self._put(transport, self._much)
        if self.writing is _CONGESTED and not transport.is_closing():
            self._resume_queries()

    def _put(self, transport: asyncio.Transport, most: int) -> None:
        frames = self.queue.take(most)
        self._wrote(frames, write_frames(transport, frames))

    def _put_all(self) -> None:
        assert self._transport is not None
        if self.queue:
            self._put(self._transport.underlying_transport, self.queue.size)

    def _pause_queries(self, writing: Writing) -> None:
        if not self._disconnected():
            if self.writing is Writing.FLOWING:
                self._stall = StallTimer(self._limits.stall_timeout).start(self._backlog, self._drop)
            super()._pause_queries(writing)

    def _resume_queries(self) -> None:
        self._stall.stop()
        super()._resume_queries()

    def close(self, code: CloseCode, reason: str) -> None:
        """Write the queue and a close frame; the socket closes when the peer answers, or after ``close_timeout``."""
        if self.state.ending or self._disconnected():
            return
        assert self._transport is not None
        self._put_all()
        self._close_code = code
        self._enter(State.DRAINING)
        self._transport.send_close(WSCloseCode(code), reason_of(reason))
        self._pause_or_resume_reading()
        self._loop.call_later(self._limits.close_timeout, self._transport.disconnect, False)

    def _drop(self) -> None:
        """Abort the connection: the peer does not read."""
        if self._transport is not None and not self._disconnected():
            if not self.state.ending:
                self._enter(State.DRAINING)
            self._transport.disconnect(False)

    def _disconnected(self) -> bool:
        """True when the transport takes no calls any more; ``on_ws_disconnected`` follows, but later."""
        return self._transport is None or self._transport.underlying_transport.is_closing()

    def _backlog(self) -> int:
        if self._transport is None or self._disconnected():
            return 0
        return self.queue.size + self._transport.underlying_transport.get_write_buffer_size()

    # Reading.

    @property
    def shares(self) -> bool:
        """Whether the processor time for reading it counts."""
        return self._share is not None

    def read(self, size: int, of_turn: int) -> None:
        """So many bytes arrived. After much of it the others have their turn: libuv would read on while there is more.
        ``of_turn``: see :func:`server.limits.read_turns.size_in_turn`.

        A client that goes on after the close frame is read for as long as its last message may be.
        """
        if self.state.ending:
            self._read_closing += size
            if self._read_closing > self._limits.message_hard_cap:
                self._drop()
        if of_turn >= LEAST and Pause.TURN not in self.pauses and not self._disconnected():
            self._pause_reading(Pause.TURN)
            self._admission.services.read_turns.wait(of_turn, partial(self._resume_reading, Pause.TURN))

    def read_for(self, seconds: float) -> None:
        """Reading what arrived has taken so many seconds of the processor."""
        refused = 1.0 if self._read_closing > LEAST else self.session.refused_part()
        later = self.session.later()
        if self._share is None or (without := self._share.exhausted(seconds, refused, later)) is None:
            return
        if self.state.ending and without.limited:
            self._drop()  # it goes on sending after the close frame
        elif not self.state.ending and Pause.SHARE not in self.pauses:
            self._pause_reading(Pause.SHARE)
            without.wait(self)

    def read_on(self) -> None:
        """Its address has gained time, and it is its turn."""
        self._resume_reading(Pause.SHARE)

    def _pause_or_resume_reading(self) -> None:
        if self._transport is None or self._disconnected():
            return
        if self.pauses:
            self._transport.underlying_transport.pause_reading()
        else:
            self._silent = 0  # no bytes could arrive while reading was paused
            self._transport.underlying_transport.resume_reading()

    @property
    def _pings(self) -> Wheel:
        return self._admission.services.wheels.every(self._limits.ping_interval)

    def beat(self) -> None:
        """A ping is due, or the client has shown no sign of life for too long. None can arrive while reading is paused."""
        self._silent = 0 if self.pauses else self._silent
        if self._silent >= self._limits.missed_pings:
            self._drop()
            return
        self._silent += 1
        if self._transport is not None and not self.congested and not self.state.ending and not self._disconnected():
            self._transport.send_ping()

    def _answer_close(self, transport: WSTransport, frame: WSFrame) -> None:
        if not self.state.ending:
            if self.writing is not _BLOCKED and not self._disconnected():
                self._put_all()
            self._enter(State.DRAINING)
            self._close_code = answer_close(transport, frame)
        transport.disconnect()
        self._loop.call_later(self._limits.close_timeout, transport.disconnect, False)

    def _assemble(self, frame: WSFrame) -> None:
        try:
            message = self._assembler.add(frame)
        except InvalidFrameError as broken:
            self.carry_out()
            self.close(broken.code, str(broken))
            return
        if message is None:
            return
        if self.state is State.OPEN:
            self._arrived = self._arrived or []
            self._arrived.append(message)
        else:
            self.early = self.early or EarlyMessages(self._limits.early_size)
            self.early.add(message, self._loop.time())
            if self.early.full:
                self._pause_reading(Pause.EARLY)

    def carry_out(self) -> None:
        """Carry out the messages that arrived in one read, or before a frame that is none."""
        arrived, self._arrived, now = self._arrived, None, self._loop.time()
        if arrived is not None:
            self._carry_out(self._received(message, now) for message in arrived)

    def _received(self, message: Message, now: float) -> list[Output]:
        """A whole message arrived at ``now``."""
        session = self.session
        if self._meter is not None:
            self._meter.received(len(message.data))
        if message.too_large:
            return session.receive_oversized(now, b"" if message.binary else message.data)
        if message.binary:
            return session.receive_packed(message.data, now) if self._packed else session.receive_binary(now)
        return session.receive(message.data, now)

    # Authentication.

    def _authenticated(self, task: asyncio.Task[Principal]) -> None:
        if task.cancelled():
            return
        refusal = task.exception()  # retrieved also where it is of no use any more
        if self.state is not State.AUTHENTICATING or self._disconnected():
            return
        if refusal is not None:
            self._refuse(refusal)
            return
        try:
            self._open(task.result())
        except AuthenticationError as ended:
            self._refuse(ended)
            return
        early, self.early = self.early, None
        if early is not None:
            self._carry_out(self._received(message, arrived) for message, arrived in early.take())
        self._resume_reading(Pause.EARLY)

    def _refuse(self, refusal: BaseException) -> None:
        if not isinstance(refusal, RealtimeError):
            raise refusal
        self.queue.add(self.wire.own(server_messages.failed(refusal, RequestReference())))
        self.close(close_code_of(refusal), refusal.code.meaning)
