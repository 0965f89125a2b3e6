"""Trace contexts as W3C's Trace Context has them (https://www.w3.org/TR/trace-context/).

What cannot be read is ignored, as the recommendation demands (3.2.2.5, 3.3.1.5): a trace is no reason to refuse a message.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

__all__ = ["MAX_TRACESTATE", "TRACEPARENT", "TRACESTATE", "TraceContext", "context_in", "parse_context", "with_context"]

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"
MAX_TRACESTATE: Final = 512
"""Characters of a ``tracestate`` that is passed on (3.3.1.5 asks for at least so many); a longer one is dropped."""

_SAMPLED: Final = 0x01
_KNOWN_FLAGS: Final = 0x03  # sampled, and the trace id is random (level 2)
_MAX_MEMBERS: Final = 32

# 3.2.2: version ff and ids of zeros are invalid; what is behind the flags may only be there in later versions.
_PARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)
_MEMBER: Final = re.compile(  # 3.3.1.3; tabs and spaces around members are allowed
    r"(?:[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}|[a-z][a-z0-9_\-*/]{0,255})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)


class TraceContext(NamedTuple):
    """A span, which may be a client's or another server's.

    ``flags``: those of ``traceparent``; ``state``: the ``tracestate``, or "".
    """

    trace_id: int
    span_id: int
    flags: int = 0
    state: str = ""

    @property
    def sampled(self) -> bool:
        """Whether its sender records the trace."""
        return bool(self.flags & _SAMPLED)

    @property
    def traceparent(self) -> str:
        """In the form of version 00."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.flags:02x}"

    @property
    def fields(self) -> dict[str, str]:
        """As the fields of a JSON object: ``traceparent``, and ``tracestate`` if there is one."""
        return {TRACEPARENT: self.traceparent, **({TRACESTATE: self.state} if self.state else {})}


def parse_context(traceparent: object, tracestate: object = None) -> TraceContext | None:
    """The context, or None if ``traceparent`` is no valid one. An invalid ``tracestate`` is dropped by itself."""
    found = _PARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    if found is None or (found[1] == "00" and found[5] is not None):
        return None
    flags = int(found[4], 16) & _KNOWN_FLAGS
    return TraceContext(int(found[2], 16), int(found[3], 16), flags, _state(tracestate))


def _state(tracestate: object) -> str:
    if not isinstance(tracestate, str) or len(tracestate) > MAX_TRACESTATE:
        return ""
    members = [member for each in tracestate.split(",") if (member := each.strip(" \t"))]
    keys = {member.partition("=")[0] for member in members}
    valid = len(keys) == len(members) <= _MAX_MEMBERS and all(map(_MEMBER.fullmatch, members))
    return ",".join(members) if valid else ""


class _Fields(msgspec.Struct):
    traceparent: msgspec.Raw = msgspec.Raw(b"null")
    tracestate: msgspec.Raw = msgspec.Raw(b"null")


_decode_fields: Final = msgspec.json.Decoder(_Fields).decode
_decode: Final = msgspec.json.Decoder().decode
_decode_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


def context_in(annotation: bytes | None) -> TraceContext | None:
    """The context that an annotation, a JSON object, carries under the names of the two headers; None without one."""
    if annotation is None or b'"traceparent"' not in annotation:
        return None
    fields = _decode_fields(annotation)
    return parse_context(_decode(fields.traceparent), _decode(fields.tracestate))


def with_context(annotation: bytes | None, context: TraceContext) -> bytes:
    """An annotation, a JSON object, with the fields of ``context`` in place of its own of those names."""
    if annotation is None:
        return _encode(context.fields)
    kept = _decode_object(annotation)
    kept.pop(TRACESTATE, None)
    return _encode({**kept, **context.fields})
