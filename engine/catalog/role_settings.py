"""The session settings with which the policies of a table are evaluated: those that sessions of the subscriber's role have.

They come from ALTER ROLE and ALTER DATABASE … SET, else from the configuration of the server. PostgREST applies those of the
role that it impersonates to each transaction, and inherits the others.
"""

from __future__ import annotations

import os
from typing import Any, Final

import psycopg

from engine.postgres.connections.session_settings import SESSION_SETTINGS
from engine.postgres.statements.named_queries import query

__all__ = ["POLICY_SETTINGS", "RoleSettings", "hidden_settings", "is_ours", "role_settings"]

RoleSettings = dict[str, tuple[tuple[str, str], ...]]

POLICY_SETTINGS: Final = (
    "DateStyle",
    "TimeZone",
    "IntervalStyle",
    "extra_float_digits",
    "bytea_output",
    "lc_time",
    "lc_numeric",
    "default_text_search_config",
    "timezone_abbreviations",
)
_FROM_ENVIRONMENT: Final = {"PGTZ": "TimeZone", "PGDATESTYLE": "DateStyle"}
# Other spellings of the values of SESSION_SETTINGS. Any positive number of extra_float_digits means the same (docs).
_SAME: Final = {
    "TimeZone": frozenset({"etc/utc", "zulu", "etc/zulu", "uct", "etc/uct", "universal", "etc/universal"}),
    "DateStyle": frozenset({"iso,us", "mdy,iso"}),
    "extra_float_digits": frozenset({"2", "3"}),
}


def is_ours(name: str, value: str) -> bool:
    """Whether ``value`` means what we set the setting to."""
    ours, plain = SESSION_SETTINGS.get(name), value.lower().replace(" ", "")
    return ours is not None and (plain == ours.lower().replace(" ", "") or plain in _SAME.get(name, ()))


async def role_settings(connection: psycopg.AsyncConnection[Any]) -> RoleSettings:
    """By served role, the settings of its sessions that differ from those of ``connection``, which is one of ours."""
    cursor = await connection.execute(query("catalog_role_settings"), _parameters())
    found: dict[str, list[tuple[str, str]]] = {}
    for role, name, value, configured, hidden in await cursor.fetchall():
        if value is None or is_ours(name, value):
            continue
        settings = found.setdefault(role, [])
        if name == "DateStyle" and not hidden and configured != value:
            settings.append((name, configured))  # 'DMY' alone leaves the style as it is, 'ISO' the order
        settings.append((name, value))
    return {role: tuple(settings) for role, settings in found.items()}


def hidden_settings(connection: psycopg.Connection[dict[str, Any]]) -> list[str]:
    """The settings whose configured value is not known, because the role of ``connection`` has values of its own."""
    rows = connection.execute(query("catalog_role_settings"), _parameters()).fetchall()
    return sorted({row["name"] for row in rows if row["hidden"] and row["value"] is None})


def _parameters() -> dict[str, list[str]]:
    masked = [name for variable, name in _FROM_ENVIRONMENT.items() if variable in os.environ]
    return {"names": list(POLICY_SETTINGS), "masked": masked}
