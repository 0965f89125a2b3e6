"""One row of ``realtime.content_policies``, compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from engine.channels.core.messages.model import Member
from engine.channels.core.routing import matches_pattern
from engine.identity.networks import network_of
from server.content.errors import ContentRefusedError, PolicyError, PolicyUnusableError
from server.content.filters import Filter
from server.content.sanitizing import Sanitizer
from server.content.schema import DataSchema
from server.content.spam import SpamScores

__all__ = ["Policy", "compile_policy"]

_PRESENCE_EVENT: Final = "presence:update"
_COLUMNS: Final = ("schema", "sanitize", "filters", "spam")


@dataclass(frozen=True, slots=True)
class Policy:
    """``problem``: why it cannot be used; then all data that it concerns is refused."""

    name: str
    channel: str
    event: str
    schema: DataSchema | None = None
    sanitizer: Sanitizer | None = None
    filters: Sequence[Filter] = ()
    spam: SpamScores | None = None
    problem: str | None = None

    @property
    def of_presence(self) -> bool:
        """Whether it concerns presence data instead of messages."""
        return self.event == _PRESENCE_EVENT

    @property
    def rewrites(self) -> bool:
        """Whether it may change data."""
        return self.sanitizer is not None or any(each.action == "mask" for each in self.filters)

    def concerns_event(self, event: str) -> bool:
        """Whether messages of this event have to pass it."""
        return not self.of_presence and matches_pattern(self.event, event)

    def apply(self, data: Any, member: Member) -> tuple[Any, bool]:
        """``data``, decoded JSON, as it may be published, changed in place, and whether it is flagged.

        Raises ``ContentRefusedError``, an error of ``spam`` or ``PolicyUnusableError`` if it is refused.
        """
        if self.problem is not None:
            raise PolicyUnusableError(
                f"the content policy {self.name!r} of this channel cannot be used; the server's /health has the reason"
            )
        try:
            if self.schema is not None and (problem := self.schema.problem(data)) is not None:
                raise ContentRefusedError(problem)
            if self.sanitizer is not None:
                data = self.sanitizer.clean(data)
            flagged = False
            for each in self.filters:
                data, found = each.apply(data)
                flagged |= found
        except ContentRefusedError as refused:
            raise ContentRefusedError(f"{refused} (content policy {self.name!r})") from None
        if self.spam is not None:
            flagged |= self.spam.check(_sender(member), data)
        return data, flagged


def _sender(member: Member) -> str:
    """A user counts once, whatever its connections; a client without a proven user counts by its network."""
    if member.proven_user_id is not None:
        return f"user {member.proven_user_id}"
    address = network_of(member.ip) or member.ip
    return f"connection {member.connection_id}" if address is None else f"address {address}"


def compile_policy(row: Mapping[str, str | None]) -> Policy:
    """The policy of a row as PostgreSQL's text. One that cannot be compiled has a ``problem``."""
    name, channel, event = (row.get(column) or "" for column in ("name", "channel", "event"))
    try:
        schema, profiles, filters, spam = (_json(row.get(column)) for column in _COLUMNS)
        return Policy(
            name,
            channel,
            event,
            None if schema is None else DataSchema(schema),
            None if profiles is None else Sanitizer(profiles),
            [Filter(entry) for entry in filters or ()],
            None if spam is None else SpamScores(spam),
        )
    except PolicyError as wrong:
        return Policy(name, channel, event, problem=str(wrong))
    except Exception as wrong:  # noqa: BLE001 - replication brings rows that no trigger has checked
        return Policy(name, channel, event, problem=f"it has a wrong shape ({type(wrong).__name__}: {wrong})")


def _json(text: str | None) -> Any:
    """None: the column is null. A schema ``null`` cannot be: the table refuses it."""
    return None if text is None else orjson.loads(text)
