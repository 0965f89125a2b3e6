"""One row of ``realtime.content_policies``, compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from engine.channels.core.routing import matches_pattern
from server.content.errors import ContentRefusedError, PolicyError, PolicyUnusableError
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
    problem: str | None = None

    @property
    def of_presence(self) -> bool:
        """Whether it concerns presence data instead of messages."""
        return self.event == _PRESENCE_EVENT

    def concerns_event(self, event: str) -> bool:
        """Whether messages of this event have to pass it."""
        return not self.of_presence and matches_pattern(self.event, event)

    def check(self, data: Any) -> None:
        """Raises ``ContentRefusedError`` or ``PolicyUnusableError`` if ``data``, decoded JSON, is refused."""
        if self.schema is None:
            raise PolicyUnusableError(
                f"the content policy {self.name!r} of this channel cannot be used; the server's /health has the reason"
            )
        if (problem := self.schema.problem(data)) is not None:
            raise ContentRefusedError(f"{problem} (content policy {self.name!r})")


def compile_policy(row: Mapping[str, str | None]) -> Policy:
    """The policy of a row as PostgreSQL's text. One that cannot be compiled has a ``problem``."""
    name, channel, event = (row.get(column) or "" for column in ("name", "channel", "event"))
    try:
        schema = DataSchema(orjson.loads(row.get("schema") or "null"))
    except (PolicyError, orjson.JSONDecodeError) as wrong:
        return Policy(name, channel, event, problem=str(wrong))
    return Policy(name, channel, event, schema)
