"""Oids of built-in types by kind. They never change (src/include/catalog/pg_type.dat)."""

from __future__ import annotations

from typing import Final

__all__ = ["BPCHAR", "DATE_TIME_OIDS", "JSONB", "JSON_OIDS", "NUMBER_OIDS", "TEXT_OIDS", "TIME_RELATED_OIDS"]

JSONB: Final = 3802
JSON_OIDS: Final = frozenset({114, JSONB})

BPCHAR: Final = 1042
"""``character(n)``, whose trailing spaces do not count in comparisons."""

TEXT_OIDS: Final = frozenset({19, 25, BPCHAR, 1043})
"""name, text, character(n), varchar: the types with a collation and ``LIKE``."""

NUMBER_OIDS: Final = frozenset({20, 21, 23, 700, 701, 1700})
"""int8, int2, int4, float4, float8, numeric."""

DATE_TIME_OIDS: Final = frozenset({1082, 1083, 1114, 1184, 1266})
"""date, time, timestamp, timestamptz, timetz."""

TIME_RELATED_OIDS: Final = DATE_TIME_OIDS | frozenset(
    {1182, 1183, 1115, 1185, 1270, 3908, 3910, 3912, 4533, 4534, 4535}
    | {3909, 3911, 3913, 6152, 6153, 6155}  # arrays of ranges and multiranges
)
"""Those, their arrays, ranges and multiranges, and the arrays of these."""
