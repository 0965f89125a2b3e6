"""Which rows a subscriber may see.

Subscribers with the same query share one plan, one window and one read. So a visibility is part of every key under which
results are shared. It consists of the role and the claims that policies read, without the user: a thousand users of one
organisation whose policies read ``org`` share a window, which never holds a row of another organisation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from engine.values.exact_json import write_exact

__all__ = ["ANONYMOUS", "Viewer", "Visibility"]


@dataclass(frozen=True, slots=True)
class Visibility:
    """Equal for subscribers to whom the policies of all tables show the same rows. Immutable, hashable.

    ``role``: the role that policies are for. ``claims``: a JSON object of the claims that policies read, the same bytes for
    equal claims. ``served``: rows are read as that role, under its policies; otherwise as ``realtime_reader``. ``rights``: a
    digest of the policies and privileges that the claims were chosen by. So under other ones subscribers who shared a window
    are separated again.
    """

    role: str
    claims: bytes = b"{}"
    served: bool = False
    rights: str = ""

    @classmethod
    def of(cls, role: str, claims: Mapping[str, object], read: Collection[str]) -> Visibility:
        """The visibility of ``role`` with ``claims`` where policies read the claims named in ``read``.

        A null claim and a missing claim are different. Raises ``TypeError`` for a claim that JSON cannot represent.
        """
        return cls(role, write_exact({name: claims[name] for name in read if name in claims}, in_order=True))


ANONYMOUS: Final = Visibility("anonymous")
"""The visibility of every connection while there are no tokens and no policies: all exposed rows."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """What is known of a subscriber when its query is planned: the visibility that its principal has, which names the role,
    and all its claims. Plans are shared by :class:`Visibility`, which has those claims that policies read.
    ``administrator``: of the service, whose own tables it may see.
    """

    visibility: Visibility = ANONYMOUS
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    administrator: bool = False

    @property
    def role(self) -> str:
        """The role that the subscriber has, served or not."""
        return self.visibility.role

    def reads(self, names: Collection[str] | None, rights: str) -> Visibility:
        """The visibility for reading as the role, where policies read the claims ``names`` (None: perhaps all).

        The role is a claim, too, as PostgREST has it.
        """
        claims = {"role": self.role, **self.claims}
        found = Visibility.of(self.role, claims, claims.keys() if names is None else names)
        return Visibility(self.role, found.claims, served=True, rights=rights)
