"""Log sequence numbers: plain ``int`` inside, ``X/Y`` text at the edges.

PostgreSQL prints an LSN as two hexadecimal halves of 32 bits (docs: "pg_lsn Type"). Positions that
clients see are the commit LSN in that form, or ``LSN/index`` for one event inside a transaction.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["Lsn", "format_lsn", "parse_lsn"]

Lsn = int

_LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")


@lru_cache(maxsize=256)  # the messages of a transaction have one in common
def format_lsn(lsn: Lsn) -> str:
    """Return ``lsn`` as PostgreSQL prints it, e.g. ``0/16B3748``."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def parse_lsn(text: str) -> Lsn:
    """Return the number that ``0/16B3748`` stands for. Raises ``ValueError`` for any other text."""
    if not _LSN.fullmatch(text):  # int() would also take signs, spaces and underscores
        raise ValueError(f"not a log sequence number: {text!r}")
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) | int(low, 16)
