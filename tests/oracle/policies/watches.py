"""Subscribers that keep every list that they had, and what they might have had."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from engine.identity.principal import Principal
from engine.live.core.document_changes import REMOVED, WindowEvent
from engine.live.core.shared_query import Subscription
from server.wire.encoder import EventFrames
from tests.support.nodes.live_node import Follower
from tests.support.oracle.queries import Query

__all__ = ["DENIED", "Era", "Watch", "versions_in"]

DENIED = "denied"
"""In place of a list: the subscriber may not read what the query reads."""

_VERSION = re.compile(r"v\d{5}(?:\.\d+)?")


def versions_in(value: object) -> set[str]:
    """The row versions that a value shows."""
    return set(_VERSION.findall(repr(value)))


@dataclass
class Era:
    """What a subscriber received while it had these claims, and what it might have had after each commit meanwhile."""

    role: str
    claims: dict[str, Any]
    lists: list[Any] = field(default_factory=list)
    visible: list[set[str]] = field(default_factory=list)
    received: list[tuple[list[Any], set[str]]] = field(default_factory=list)

    def check(self) -> None:
        visible = set().union(*self.visible)
        for rows, versions in self.received:
            assert versions <= visible, ("never visible", self.role, self.claims, versions - visible)
            assert rows in self.lists, ("at no time", self.role, self.claims, rows, "but", self.lists)


class Watch(Follower):
    """A subscriber that keeps every list and the row versions in every event; with ``frames`` it has deltas."""

    def __init__(self, spec: dict[str, Any], sql: str, principal: Principal, frames: EventFrames | None = None) -> None:
        super().__init__(Query("note", spec, sql), frames=frames)
        self.principal = principal
        self.eras = [self.next_era()]
        self.era = self.eras[0]

    def next_era(self) -> Era:
        return Era(self.principal.visibility.role, dict(self.principal.claims))

    def deliver(self, subscription: Subscription, event: WindowEvent) -> None:
        had = versions_in(self.list)
        super().deliver(subscription, event)
        if event.error is None:  # a removed document comes as the subscriber had it; what it was before is not written
            removed = versions_in([each.json() for each in event.changes if each.type == REMOVED])
            versions = versions_in([each.json() for each in event.changes if each.type != REMOVED])
            versions |= removed - had
            self.era.received.append(([json.loads(doc) for _, doc in self.list], versions))

    @property
    def matches(self) -> bool:
        """Whether it has what PostgreSQL showed last."""
        last = self.eras[-1].lists[-1]
        return self.error is not None if last == DENIED else self._found == last

    @property
    def _found(self) -> list[Any]:
        return [json.loads(doc) for _, doc in self.list]

    def check(self) -> bool:
        """With the service caught up: the list is right, and so was each one on the way here. False: it was refused, as
        it should have been.
        """
        assert not self.failures, (self.query, self.failures[0])
        for era in self.eras:
            era.check()
        who = (self.query, self.era.role, self.era.claims)
        if self.error is not None:
            assert any(DENIED in era.lists for era in self.eras), (*who, self.error)
            return False
        last = self.eras[-1].lists[-1]
        assert last != DENIED, (*who, "should be refused, but has", self._found)
        assert self._found == last, (*who, self._found, last)
        self.era = Era(self.era.role, self.era.claims, [last], self.era.visible[-1:])
        self.eras = [self.era]
        return True
