"""One channel's subscription: its requests, its position, and which received messages are new.

The invariant: messages are delivered in order of their positions, each once, even if the server delivers some again, or
one that it does not store was published again under its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from bunbase.core.position import is_later
from bunbase.core.presence import PresenceState
from bunbase.core.recent_ids import RecentIds
from bunbase.protocol.codec import expect_json
from bunbase.protocol.codes import ErrorCode
from bunbase.protocol.crypto import DecryptionError, Encryption, expect_encryption
from bunbase.protocol.errors import RealtimeError
from bunbase.protocol.expected import expect_mapping, expect_whole
from bunbase.protocol.model import Message

__all__ = ["ChannelOptions", "ChannelState", "Event"]

Event = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class ChannelOptions:
    """The options of a channel, see ``Realtime.channel``. ``TypeError`` or ``ValueError`` if one has no JSON."""

    presence: bool | Mapping[str, Any] | None = None
    history: int = 0
    filter: Mapping[str, Any] | None = None
    encryption: Encryption | None = None
    meta: bool = False
    conflate: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        expect_encryption(self.encryption)
        if not isinstance(self.presence, bool | Mapping | None):
            raise TypeError(f"presence: True, False or a mapping is expected, not {type(self.presence).__name__}")
        for option in ("filter", "conflate"):
            if (value := getattr(self, option)) is not None:
                expect_mapping(option, value)
        expect_whole("history", self.history, 0)
        if not isinstance(self.meta, bool):
            raise TypeError(f"meta: True or False is expected, not {type(self.meta).__name__}")
        for name in ("presence", "filter", "conflate"):
            value = getattr(self, name)
            expect_json({name: dict(value) if isinstance(value, Mapping) else value})

    def given(self) -> dict[str, Any]:
        """The options that are not at their defaults."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) != each.default}


class ChannelState:
    """See the module. ``name`` is the channel's."""

    def __init__(self, name: str, options: ChannelOptions) -> None:
        self.name = name
        self.presence = PresenceState()
        self.begun = False
        self._options = options
        self._last: str | None = None  # the position of the last message
        self._since: str | None = None  # what a resume goes on after: that one, or where the first request began
        self._epoch: str | None = None
        self._ids = RecentIds()
        self._room: Mapping[str, Any] | None = None
        self._own: dict[str, Any] = {}  # what updates have set
        self._later: dict[str, Any] = {}  # options for the next subscription

    def configure(self, options: ChannelOptions, *, subscribed: bool) -> list[str]:
        """Take ``options``; those at their defaults stay as they were. If it is ``subscribed``, they are asked for with the
        next subscription, so the names of those that differ are returned.
        """
        given = options.given()
        if not subscribed:
            self._options = replace(self._options, **given)
            return []
        self._later |= given
        return [name for name, value in given.items() if value != getattr(self._options, name)]

    @property
    def with_presence(self) -> bool:
        """Whether this client is seen there."""
        wanted = self._options.presence
        return self.name.startswith("presence:") if wanted is None else wanted is not False

    def request(self) -> dict[str, Any]:
        """The ``subscribe`` message: from the beginning the first time, afterwards from the last message."""
        message: dict[str, Any] = {"type": "subscribe", "channel": self.name}
        if self._since is not None:
            message["since"] = self._since
            if self._epoch:
                message["epoch"] = self._epoch
        # With since, history is for when that has expired; only servers with epochs take both.
        if self._options.history and (self._since is None or self._epoch):
            message["history"] = self._options.history
        if self._options.filter is not None:
            message["filter"] = dict(self._options.filter)
        if self._options.conflate is not None:
            message["conflate"] = dict(self._options.conflate)
        if self._options.meta:
            message["meta"] = True
        wanted = self._options.presence
        own = {**(wanted if isinstance(wanted, Mapping) else {}), **self._own}
        if wanted is not None or own:
            message["presence"] = own or bool(self.with_presence)
        return message

    def keep_presence(self, data: Mapping[str, Any]) -> None:
        """Keep the own presence, to send it again after a reconnect; without ``typing``."""
        lasting = {name: value for name, value in data.items() if name != "typing"}
        if lasting.get("status") == "typing":
            del lasting["status"]
        self._own.update(lasting)

    def forget(self) -> None:
        """Unsubscribed: the next subscription begins anew, with the latest options. The own presence stays."""
        self.begun = False
        self._options, self._later = replace(self._options, **self._later), {}
        self._last = self._since = self._epoch = None
        self._ids = RecentIds()
        self.presence = PresenceState()

    def subscribed(self, message: Mapping[str, Any], *, seamless: bool = False) -> list[Event]:
        """``seamless``: another connection has delivered all messages up to here, so none can be missing."""
        events: list[Event] = []
        epoch, since = message.get("epoch"), message.get("since")
        # A later history of this cluster has what the position that was asked for follows on: nothing is missing.
        shared = message.get("recovered") is True and since is not None and since == self._since
        foreign = epoch != self._epoch and not shared
        lost = foreign or (message.get("recovered") is False and not seamless)
        if lost and self._since is not None:
            events.append(("gap", self._since))
        if foreign:
            self._last = self._since = None
        if lost and since is not None:
            self._since = since
        if self._since is None:
            # An older server does not report where the history begins: it is asked for it again until a message has arrived.
            self._since = None if self._options.history else message.get("position")
        self._epoch = epoch
        if "presence" in message:
            events += self.presence.replace(message["presence"], first=not self.begun)
        self.begun = True
        return events

    def receive(self, message: Mapping[str, Any]) -> list[Event]:
        """Any other message of this channel."""
        kind = message["type"]
        if kind == "message":
            return self._message(message)
        if kind.startswith("presence:"):
            return list(self.presence.receive(message))
        if message == self._room:  # another connection has reported it already
            return []
        self._room = message
        return [(kind, message.get("room", message))]

    def encrypt(self, event: str, data: object) -> object:
        """The form in which ``data`` is sent."""
        encryption = self._options.encryption
        return data if encryption is None else encryption.encrypt(self.name, event, data)

    def _message(self, raw: Mapping[str, Any]) -> list[Event]:
        position = raw.get("position")
        if position is not None:
            if not is_later(position, self._last):
                return []
            self._last = self._since = position
        if not self._ids.is_new(raw.get("id"), raw.get("sender"), server=raw.get("server", False)):
            return []
        return [self.opened(raw)]

    def opened(self, raw: Mapping[str, Any]) -> Event:
        """A message of the server as a ``message`` with its data decrypted, or the ``error`` of that."""
        message = Message.of(raw)
        encryption = self._options.encryption
        if encryption is None:
            return "message", message
        try:
            data = encryption.decrypt(self.name, message.event, message.data)
        except DecryptionError as failed:
            return "error", RealtimeError(ErrorCode.INVALID_MESSAGE, f"message {message.id}: {failed}", self.name)
        return "message", Message(**{**_fields(message), "data": data})


def _fields(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in Message.__slots__}
