"""One encoder per form, shared by all connections of a server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from engine.metrics.stages import Stages
from server.protocol.error_codes import ErrorCode
from server.wire.encoder import Wire, packed_wire, text_wire
from server.wire.sse_blocks import block_wire, plain_wire

__all__ = ["CountError", "Wires"]

CountError = Callable[[str, ErrorCode, str], None]
"""Called with the transport, the code and the limit (or "") of each error that a client is answered with."""


@dataclass(frozen=True, slots=True)
class Wires:
    """``text`` and ``packed`` are WebSocket frames, ``blocks`` those of an event stream, ``plain`` poll answers' JSON."""

    text: Wire
    packed: Wire
    blocks: Wire
    plain: Wire

    @classmethod
    def make(cls, stages: Stages | None = None, count_error: CountError | None = None) -> Self:
        """All of them. ``stages`` observes how long encoding takes."""
        made = cls(text_wire(stages), packed_wire(stages), block_wire(stages), plain_wire(stages))
        if count_error is not None:
            for wire, transport in (
                (made.text, "websocket"),
                (made.packed, "websocket"),
                (made.blocks, "sse"),
                (made.plain, "poll"),
            ):
                wire.count_errors(transport, count_error)
        return made
