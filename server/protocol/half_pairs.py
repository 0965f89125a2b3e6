"""Halves of surrogate pairs in JSON.

JavaScript's strings may have them, such as one that was cut within an emoji, and its JSON has them as escapes: ``\\ud83d``
alone (RFC 8259, section 8.2). UTF-8 cannot have them, and no decoder here reads them. They are looked for only in what could
not be read.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["without_half_pairs"]

# A backslash that is escaped, a whole pair, or a half.
_ESCAPES: Final = re.compile(
    rb"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_NUL: Final = rb"\u0000"


def without_half_pairs(data: bytes) -> bytes | None:
    """``data``, which is JSON, with NUL in the place of each half, so that what holds it is refused and the rest is read.

    None: it has none.
    """
    changed = _ESCAPES.sub(lambda found: found[1] or _NUL, data)
    return changed if changed != data else None
