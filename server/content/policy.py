"""One row of ``realtime.content_policies``, compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from engine.channels.core.routing import matches_pattern
from server.content.errors import ContentRefusedError, PolicyError, PolicyUnusableError
from server.content.sanitizing import Sanitizer
from server.content.schema import DataSchema

__all__ = ["Policy", "compile_policy"]

_PRESENCE_EVENT: Final = "presence:update"


@dataclass(frozen=True, slots=True)
class Policy:
    """``problem``: why it cannot be used; then all data that it concerns is refused."""

    name: str
    channel: str
    event: str
    schema: DataSchema | None = None
    sanitizer: Sanitizer | None = None
    problem: str | None = None

    @property
    def of_presence(self) -> bool:
        """Whether it concerns presence data instead of messages."""
        return self.event == _PRESENCE_EVENT

    @property
    def rewrites(self) -> bool:
        """Whether it may change data."""
        return self.sanitizer is not None

    def concerns_event(self, event: str) -> bool:
        """Whether messages of this event have to pass it."""
        return not self.of_presence and matches_pattern(self.event, event)

    def apply(self, data: Any) -> Any:
        """``data``, decoded JSON, as it may be published; it may be changed in place.

        Raises ``ContentRefusedError`` or ``PolicyUnusableError`` if it is refused.
        """
        if self.problem is not None:
            raise PolicyUnusableError(
                f"the content policy {self.name!r} of this channel cannot be used; the server's /health has the reason"
            )
        if self.schema is not None and (problem := self.schema.problem(data)) is not None:
            raise ContentRefusedError(f"{problem} (content policy {self.name!r})")
        return data if self.sanitizer is None else self.sanitizer.clean(data)


def compile_policy(row: Mapping[str, str | None]) -> Policy:
    """The policy of a row as PostgreSQL's text. One that cannot be compiled has a ``problem``."""
    name, channel, event = (row.get(column) or "" for column in ("name", "channel", "event"))
    try:
        schema, profiles = (_json(row.get(column)) for column in ("schema", "sanitize"))
        return Policy(
            name,
            channel,
            event,
            None if schema is None else DataSchema(schema),
            None if profiles is None else Sanitizer(profiles),
        )
    except (PolicyError, orjson.JSONDecodeError) as wrong:
        return Policy(name, channel, event, problem=str(wrong))


def _json(text: str | None) -> Any:
    """None: the column is null. A schema ``null`` cannot be: the table refuses it."""
    return None if text is None else orjson.loads(text)
