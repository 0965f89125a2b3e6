"""The identity that a connection was authenticated as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from engine.identity.visibility import ANONYMOUS, Viewer, Visibility

__all__ = ["Principal", "viewer_of"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    """Shared by all connections without."""
    return _NOTHING


@dataclass(eq=False, slots=True)
class Principal:
    """An identity. It is referenced and never copied: replacing its fields changes it for the whole connection.

    ``user_id``: None if anonymous. ``attributes``: plain values by name, which audiences of messages are matched against.
    ``visibility``: which rows of live queries it may see. ``claims``: of the verified token. ``expires_at``: when the proof
    of identity ends, in seconds since the Unix epoch; None: never. ``authenticated``: whether there is a proof; an anonymous
    client can have a ``user_id``, too. ``session_id``: the session of the application that the proof belongs to; None: none.
    ``administrator``: whether the proof gives the rights of an operator. ``watches``: it may read the service's own tables,
    and do nothing else.
    """

    user_id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=_nothing)
    visibility: Visibility = ANONYMOUS
    claims: Mapping[str, Any] = field(default_factory=_nothing, repr=False)
    expires_at: float | None = None
    authenticated: bool = False
    session_id: str | None = None
    administrator: bool = False
    watches: bool = False

    @property
    def proven_user_id(self) -> str | None:
        """The user that limits count by; None without a proof: a client can take a new unproven ``user_id`` at any time."""
        return self.user_id if self.authenticated else None


def viewer_of(principal: Principal, anonymous_role: str) -> Viewer:
    """``principal`` as it is now, for planning its queries. ``anonymous_role``: of one without a role."""
    visibility = principal.visibility
    if visibility == ANONYMOUS:
        visibility = replace(ANONYMOUS, role=anonymous_role)
    return Viewer(visibility, principal.claims, principal.administrator)
