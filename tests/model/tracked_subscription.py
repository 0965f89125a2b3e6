"""One client's subscription to a channel over all the connections it lives through, and what it has received."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from engine.channels.core.messages.model import Position, format_position, parse_position

__all__ = ["TrackedSubscription"]

_START = Position(0, 0)


@dataclass(eq=False)
class TrackedSubscription:
    """One subscription over all the connections it lived through."""

    client: str
    channel: str
    options: dict[str, Any]
    state: str = "asked"  # asked, on, leaving, lost (with the connection), over
    begins: Position | None = None
    last: Position = _START
    record: list[dict[str, Any]] = field(default_factory=list)
    members: dict[str, dict[str, Any]] | None = None
    unbroken: bool = True  # one connection
    informed: bool = False  # that messages without history may be missing
    unrecovered: bool = False
    resumed: int = 0
    rooms: list[str] = field(default_factory=list)
    user: str | None = None
    _received: Position = _START

    @property
    def seen(self) -> bool:
        """Whether it asked for presence."""
        return bool(self.options.get("presence", self.channel.startswith("presence:")))

    @property
    def counts(self) -> bool:
        """Whether its member has to be in ``realtime.presence``: rooms with a capacity count everybody."""
        return self.state in ("on", "leaving") and (self.seen or self.channel == "room:cap")

    @property
    def lossless(self) -> bool:
        """Whether even messages without history must all be there."""
        return self.unbroken and not self.informed

    def request(self) -> dict[str, Any]:
        options = dict(self.options)
        if self.begins is not None and (self.record or not options.get("history")):
            options.pop("history", None)
            options["since"] = format_position(self.last.lsn, None if self.last.seq >= 1 << 63 else self.last.seq)
        elif self.begins is not None:
            self.begins = None  # it has had nothing of what it asked for: it asks again
        return {"type": "subscribe", "channel": self.channel, **options}

    def subscribed(self, answer: dict[str, Any]) -> None:
        if self.state == "on":
            self._be_informed(answer)
            return
        assert self.state == "asked", (self.state, answer)
        self.state = "on"
        position = parse_position(answer["position"])
        if self.begins is None:
            assert answer.get("recovered") is None
            self.begins, self.last = position, (self.last if self.options.get("history") else position)
        else:
            self.unbroken = False
            self.resumed += 1
            self.unrecovered |= answer["recovered"] is not True
        self._received = _START
        assert ("presence" in answer) == self.seen
        self.members = {user["id"]: user for user in answer["presence"]["users"]} if self.seen else None
        if self.seen:
            assert answer["presence"]["count"] == len(answer["presence"]["users"]) == len(self.members or {})

    def _be_informed(self, answer: dict[str, Any]) -> None:
        assert self.channel.startswith("cursors:"), "what others lack is read from its table"
        assert answer["recovered"] is False
        assert parse_position(answer["position"]) >= self._received
        self.informed = True

    def message(self, message: dict[str, Any]) -> None:
        assert self.state in ("on", "leaving"), (self.state, message)
        key = parse_position(message["position"])
        assert key > self._received, f"{message} after {self._received}"
        self._received = key
        if key > self.last:
            self.last = key
            self.record.append(message)

    def presence(self, event: dict[str, Any]) -> None:
        assert self.state in ("on", "leaving"), (self.state, event)
        assert self.members is not None, event
        user, kind = event["user"], event["type"]
        assert (kind == "presence:join") == (user["id"] not in self.members), (event, self.members)
        if kind == "presence:leave":
            del self.members[user["id"]]
        else:
            self.members[user["id"]] = user
        assert event["count"] == len(self.members), (event, self.members)
