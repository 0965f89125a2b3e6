"""What a subscriber may see of the rows.

Results are shared among subscribers: one plan, one window or one read for all that ask the same. So a visibility is part of
every key under which something is shared. It has the role and just those claims that policies read, and not the user: a
thousand users of one organisation whose policies read ``org`` share a window, and no row of another organisation can get
into it.
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
        """That of ``role`` with ``claims`` where policies read the claims named in ``read``.

        A claim that is null and one that is missing are different. Raises ``TypeError`` for a claim that JSON does not have.
        """
        return cls(role, write_exact({name: claims[name] for name in read if name in claims}, in_order=True))


ANONYMOUS: Final = Visibility("anonymous")
"""That of every connection as long as there are no tokens and no policies: all exposed rows."""
