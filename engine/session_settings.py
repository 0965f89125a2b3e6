"""The session settings under which PostgreSQL's text output is canonical for us.

The walsender and every connection that reads rows use the same ones, so that the bytes of a value read by a
query equal the bytes of the same value in the stream. ``connection_options`` is for libpq's ``options``.

``jit`` is the exception: it is about time. Over many partitions the planner's estimates are high enough to have a query
compiled, which takes seconds where running it takes milliseconds.
"""

from __future__ import annotations

__all__ = ["SESSION_SETTINGS", "connection_options"]

SESSION_SETTINGS: dict[str, str] = {
    "DateStyle": "ISO, MDY",
    "TimeZone": "UTC",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "client_encoding": "UTF8",
    "xmloption": "content",
    "standard_conforming_strings": "on",
    "jit": "off",
}


def connection_options(**more: str) -> str:
    """The libpq ``options`` string that sets :data:`SESSION_SETTINGS` (and ``more``) at connection start."""
    settings = SESSION_SETTINGS | more
    return " ".join(
        "-c " + f"{name}={value}".replace("\\", "\\\\").replace(" ", "\\ ") for name, value in settings.items()
    )
