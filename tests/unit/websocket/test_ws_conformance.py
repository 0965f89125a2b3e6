"""The cases of the Autobahn test suite (through ``kosoku``, which runs them on Python 3) against the WebSocket end.

The cases want a server that echoes what it receives, so here a connection does that instead of asking its session. The
handshake, framing, fragments, UTF-8, control frames and closing are those of every connection.
"""

from __future__ import annotations

import pytest
from kosoku import FailureError, run_fuzzingclient

from server.limits.connection_limits import ConnectionLimits, SessionLimits
from server.session.actions import Output
from server.transports.websocket.assembler import Message
from server.transports.websocket.websocket_connection import WebSocketConnection
from server.wire.encoder import binary_frame, text_frame
from server.wire.frame import Frame
from tests.support.fakes.server import fake_server

LARGEST = 20 * 1024 * 1024
LIMITS = ConnectionLimits(message_size=LARGEST, message_hard_cap=LARGEST, buffer_size=2 * LARGEST, backlog=4 * LARGEST)
EXCLUDED = [
    "12.*",  # compression, which is not agreed on
    "13.*",
    *(f"9.{group}.{case}" for group in (3, 4) for case in (1, 2, 3)),  # more fragments than are taken: test_ws has them
]
KNOWN = {
    # What came before a broken frame in the same read is not delivered any more: picows looks one frame ahead.
    **dict.fromkeys(("4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5"), ("NON-STRICT", "OK")),
    # Text is checked at the end of each frame, not before.
    **dict.fromkeys(("6.4.3", "6.4.4"), ("NON-STRICT", "OK")),
    # Of two close frames at once the second is a protocol error, by picows' look ahead.
    "7.1.2": ("FAILED", "WRONG CODE"),
}
IMPERFECT = frozenset({"NON-STRICT", "FAILED", "ERROR", "UNCLEAN", "WRONG CODE", "FAILED BY CLIENT", "UNIMPLEMENTED"})


class Echo(WebSocketConnection):
    """Echoes what it receives, and nothing else."""

    def write(self, frame: Frame) -> None:
        pass

    def _received(self, message: Message, now: float) -> list[Output]:
        super().write(Frame(binary_frame(message.data) if message.binary else text_frame(message.data)))
        return []


async def verdicts(url: str, *cases: str) -> dict[str, tuple[str, str]]:
    """What the given cases (none: all) find: the behaviour, and the behaviour on closing."""
    try:
        results = await run_fuzzingclient(
            url, cases=list(cases) or None, exclude_cases=EXCLUDED, concurrency=1 if cases else 4
        )
    except FailureError as failed:
        results = failed.results
    return {each.case_id: (each.behavior.value, each.behavior_close.value) for each in results}


def imperfect(found: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    return {case: verdict for case, verdict in found.items() if IMPERFECT & set(verdict) and case not in KNOWN}


@pytest.mark.long
async def test_the_autobahn_test_suite_finds_nothing_but_what_is_known() -> None:
    async with fake_server(SessionLimits(message_rate=1e9), LIMITS, kind=Echo, packed=True) as server:
        url = f"ws://127.0.0.1:{server.port}/realtime"
        found = await verdicts(url)
        assert len(found) > 240
        # Cases have time limits of their own, which a busy machine exceeds. A fault of the protocol is found again.
        for case in imperfect(found):
            found |= await verdicts(url, case)
        assert imperfect(found) == {}
