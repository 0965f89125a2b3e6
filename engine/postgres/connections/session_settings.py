"""The session settings that every connection of ours starts with, whatever the role, the database or the server sets.

Two kinds. The first make PostgreSQL's text output canonical: the walsender and every connection that reads rows use the
same ones, so that the bytes of a value read by a query equal the bytes of the same value in the stream. The second undo
defaults of a role or database under which our statements would be cut off, fail, or mean something else (``ALTER ROLE …
SET statement_timeout``, ``default_transaction_isolation``, ``array_nulls`` and the like).

``search_path`` is set once a connection is open (:data:`OWN_NAMES`), not at its start: so ``SET LOCAL search_path TO
DEFAULT`` brings back the operator's, in which clients' SQL finds its tables.

So are those of :data:`AS_WRITTEN`: what the database, the role or the server gives them can still be asked for
(``pg_settings.reset_val``), and policies are evaluated with that (:mod:`engine.catalog.role_settings`).

``session_replication_role = replica`` is undone once a connection is open, too (:data:`ORIGIN`): under it the triggers
that report what other sources of changes write swallow our own writes.

Left as they are: ``lc_messages``, which only a superuser may set, and ``default_transaction_read_only`` for what clients
write: a database that is read-only for maintenance stays so (see :data:`READS_ANYWAY`).

``jit`` is about time: over many partitions the planner's estimates are high enough to have a query compiled, which takes
seconds where running it takes milliseconds.
"""

from __future__ import annotations

__all__ = [
    "AS_WRITTEN",
    "ORIGIN",
    "OWN_NAMES",
    "READS_ANYWAY",
    "SESSION_SETTINGS",
    "connection_options",
    "startup_options",
]

SESSION_SETTINGS: dict[str, str] = {
    # how values are written and read
    "DateStyle": "ISO, MDY",
    "TimeZone": "UTC",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "client_encoding": "UTF8",
    "xmlbinary": "base64",
    "xmloption": "content",
    "array_nulls": "on",
    "quote_all_identifiers": "off",
    # how statements are read
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "transform_null_equals": "off",
    # what they see
    "row_security": "on",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "gin_fuzzy_search_limit": "0",
    # how long they may take: a connection with a limit sets it (transaction_timeout: see `opening`)
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "exit_on_error": "off",
    "client_min_messages": "warning",
    "jit": "off",
}

AS_WRITTEN = ("DateStyle", "TimeZone", "IntervalStyle", "extra_float_digits", "bytea_output")
"""Settings with which values are written and read, which are set when a connection is open. The first two libpq also takes
from its environment (``PGDATESTYLE``, ``PGTZ``), which overrides the options in the start packet (libpq docs, "Environment
Variables").
"""

READS_ANYWAY: dict[str, str] = {"default_transaction_read_only": "off"}
"""For the feed and the readers, which write no row of a client's: a node's lease, and the temporary view in which a query
is checked, are allowed in a database that is set read-only.
"""


OWN_NAMES = "pg_catalog, pg_temp"
"""The search path of our own statements: nothing of a schema in which others may create functions, operators or types is
found by a name without schema, and run with our rights (docs: "Writing SECURITY DEFINER Functions Safely"; CVE-2018-1058).
"""

ORIGIN = (
    "case when pg_catalog.current_setting('session_replication_role') = 'replica' "
    "then pg_catalog.set_config('session_replication_role', 'origin', {local}) end"
)
"""An expression that has triggers of ours fire as they do for every application; ``local``: until the transaction's end.

A role that may not set it (``InsufficientPrivilege``) meets that only where there is something to undo. The value ``local``
is as good as ``origin`` (docs: ALTER TABLE, "DISABLE/ENABLE TRIGGER").
"""


def connection_options(**more: str) -> str:
    """The libpq ``options`` string that sets :data:`SESSION_SETTINGS` (and ``more``) at connection start."""
    return _options(SESSION_SETTINGS | more)


def startup_options(**more: str) -> str:
    """As :func:`connection_options`, for a connection that sets :data:`AS_WRITTEN` when it is open."""
    return _options({name: value for name, value in (SESSION_SETTINGS | more).items() if name not in AS_WRITTEN})


def _options(settings: dict[str, str]) -> str:
    return " ".join(
        "-c " + f"{name}={value}".replace("\\", "\\\\").replace(" ", "\\ ") for name, value in settings.items()
    )
