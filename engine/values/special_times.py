"""The words that make a date or time depend on when it is read (docs: "Date/Time Types", special values)."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_special_time"]

# Words end where letters do: PostgreSQL reads 'today10:00' and '_now_' (ParseDateTime in utils/adt/datetime.c).
_MOMENT: Final = re.compile(r"(?<![a-z])(?:now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE | re.ASCII)


def is_special_time(text: str) -> bool:
    """True if a date or time written as ``text`` depends on when it is read (``now``, ``today``)."""
    return _MOMENT.search(text) is not None
