"""Which rows a subscriber may see.

Subscribers with the same query share one plan, one window and one read. So a visibility is part of every key under which
results are shared. It consists of the role and the claims that policies read, without the user: a thousand users of one
organisation whose policies read ``org`` share a window, which never holds a row of another organisation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from engine.values.exact_json import write_exact

__all__ = ["ANONYMOUS", "Visibility"]


@dataclass(frozen=True, slots=True)
class Visibility:
    """Equal for subscribers to whom the policies of all tables show the same rows. Immutable, hashable.

    ``role``: the role that policies are for. ``claims``: a JSON object of the claims that policies read, the same bytes for
    equal claims.
    """

    role: str
    claims: bytes = b"{}"

    @classmethod
    def of(cls, role: str, claims: Mapping[str, object], read: Collection[str]) -> Visibility:
        """The visibility of ``role`` with ``claims`` where policies read the claims named in ``read``.

        A null claim and a missing claim are different. Raises ``TypeError`` for a claim that JSON cannot represent.
        """
        return cls(role, write_exact({name: claims[name] for name in read if name in claims}, in_order=True))


ANONYMOUS: Final = Visibility("anonymous")
"""The visibility of every connection while there are no tokens and no policies: all exposed rows."""
