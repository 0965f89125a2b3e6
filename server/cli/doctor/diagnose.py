"""``realtime doctor``: checks whether a database is ready, and names the remedies if it is not.

Read-only, except for a temporary slot if wal2json is selected. Each check is a function that yields findings; a problem
stops the service, a warning may stop it later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.rows import dict_row

from engine.catalog.build import is_bytewise
from engine.cluster.identity import DatabaseIdentity
from engine.feed.diagnostics import sender_remedy
from engine.postgres.connections.opening import connect_now
from engine.postgres.connections.refused_logins import ReplicaRoleError
from engine.postgres.connections.session_settings import READS_ANYWAY
from engine.postgres.read_only import read_only_reason
from engine.postgres.statements.named_queries import query
from server.app.insecure import insecure_settings
from server.app.settings import Settings
from server.auth_handler.function import SETTING as AUTH_HANDLER
from server.cli.doctor.certificate import certificate_findings
from server.cli.doctor.connection_checks import connection_findings
from server.cli.doctor.country_database import country_database_findings
from server.cli.doctor.failover_slots import failover_findings
from server.cli.doctor.finding import Finding, grouped
from server.cli.doctor.nats_checks import nats_findings
from server.cli.doctor.row_security import row_security_findings
from server.cli.doctor.schema_checks import own_slots, schema_findings
from server.cli.doctor.temporary_files import temporary_files_findings
from server.cli.terminal.output import size_in_words
from server.content.hook import SETTING as CONTENT_HOOK
from server.operator_function import FunctionNameError, load_function

__all__ = ["OLDEST_VERSION", "Finding", "diagnose"]

OLDEST_VERSION = 14

_ANY_STANDBY = re.compile(r'(?:^|[\s,(])"?\*"?(?:[\s,)]|$)')

_Connection = psycopg.Connection[dict[str, Any]]


def diagnose(dsn: str, settings: Settings) -> list[Finding]:
    """Check the database behind ``dsn``. Raises ``psycopg.OperationalError`` if it cannot be reached."""
    try:
        connection = connect_now(dsn, "realtime doctor", autocommit=True, row_factory=dict_row)
    except ReplicaRoleError as error:
        return [Finding("problem", error.reason, error.remedy)]
    with connection:
        return grouped((*_examine(dsn, connection, settings), *_of_settings(settings, connection)))


def _of_settings(settings: Settings, connection: _Connection) -> Iterator[Finding]:
    yield from (*certificate_findings(settings), *country_database_findings(settings))
    if settings.cluster is not None:
        yield from nats_findings(settings, DatabaseIdentity(**_one(connection, "database_identity")))
    yield from (*_functions(settings), *_insecure(settings))


def _insecure(settings: Settings) -> Iterator[Finding]:
    for setting, reason in insecure_settings(settings).items():
        what, _, remedy = reason.rpartition("; ")
        yield Finding("warn", f"{setting}: {what}", f"{remedy[0].upper()}{remedy[1:]}.")


def _functions(settings: Settings) -> Iterator[Finding]:
    """A server does not start without the functions that are to judge messages and tokens."""
    handler = settings.auth_handler
    named = {CONTENT_HOOK: settings.content_hook, AUTH_HANDLER: None if handler is None else handler.function}
    for setting, name in named.items():
        try:
            if name is not None:
                load_function(setting, name)
        except FunctionNameError as error:
            yield Finding("problem", str(error), "Correct the setting, or put the module on the server's PYTHONPATH.")


def _examine(dsn: str, connection: _Connection, settings: Settings) -> Iterator[Finding]:
    server = _one(connection, "doctor_server")
    version = _version(server)
    yield version
    if version.level == "problem":
        return
    yield from (*row_security_findings(server["version"]), *_read_only(connection))
    if server["standby"]:
        return
    yield from (*_wal(server), *_synchronous(server), *_room(server), *_keep_size(server))
    yield from (*_role(connection), *_sender(dsn, connection))
    yield from (*connection_findings(connection, settings), *temporary_files_findings(connection, settings))
    yield from (*_encoding(server, settings), *_collation(connection))
    yield from schema_findings(connection)
    yield from (*_slots(connection), *failover_findings(connection))
    yield from (*_blockers(connection), *_plugin(dsn, server, settings))


def _one(connection: _Connection, name: str) -> dict[str, Any]:
    row = connection.execute(query(name)).fetchone()
    assert row is not None, name
    return row


def _version(server: dict[str, Any]) -> Finding:
    if server["version"] < OLDEST_VERSION * 10000:
        return Finding(
            "problem",
            f"PostgreSQL {server['version_text']} is too old",
            f"Use PostgreSQL {OLDEST_VERSION} or newer.",
        )
    return Finding("ok", f"PostgreSQL {server['version_text']}")


def _read_only(connection: _Connection) -> Iterator[Finding]:
    """Live queries are served all the same; messages, presence and the commands that write are refused."""
    found = read_only_reason(_one(connection, "read_only_source"))
    if found is not None:
        yield Finding("problem", found.reason, found.remedy)


def _wal(server: dict[str, Any]) -> Iterator[Finding]:
    if server["wal_level"] != "logical":
        yield Finding(
            "problem",
            f"wal_level is {server['wal_level']}",
            "ALTER SYSTEM SET wal_level = 'logical'; then restart PostgreSQL.",
        )
    else:
        yield Finding("ok", "wal_level is logical")


def _synchronous(server: dict[str, Any]) -> Iterator[Finding]:
    """A WAL sender of a slot counts as a standby of this name, too (src/backend/replication/syncrep.c), and the slot is
    confirmed for what snapshots show, which a commit that waits for it is not.
    """
    if _ANY_STANDBY.search(names := server["synchronous_standby_names"]):
        yield Finding(
            "problem",
            f"synchronous_standby_names is {names}: commits would wait for the slot, and the slot for them",
            "Name the standbys: ALTER SYSTEM SET synchronous_standby_names = 'my_standby'; SELECT pg_reload_conf();",
        )


def _room(server: dict[str, Any]) -> Iterator[Finding]:
    for what, used, most, setting in (
        ("replication slots", server["slots"], server["max_slots"], "max_replication_slots"),
        ("WAL senders", server["senders"], server["max_senders"], "max_wal_senders"),
    ):
        if used >= most:
            yield Finding(
                "problem",
                f"all {most} {what} are taken (fine if this service holds one of them already)"
                if used
                else f"no {what} are allowed",
                f"ALTER SYSTEM SET {setting} = {max(most * 2, 10)}; then restart PostgreSQL.",
            )
        else:
            yield Finding("ok", f"{used} of {most} {what} are taken")


def _keep_size(server: dict[str, Any]) -> Iterator[Finding]:
    size = server["keep_size_mb"]
    if size < 0:
        yield Finding(
            "warn",
            "max_slot_wal_keep_size is unlimited: a slot without a reader can fill the disk",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf(); "
            "a slot that is lost is replaced by itself.",
        )
    else:
        yield Finding("ok", f"max_slot_wal_keep_size is {size_in_words(size * 1024 * 1024)}")


def _role(connection: _Connection) -> Iterator[Finding]:
    role = _one(connection, "doctor_role")
    name, database = role["name"], role["database"]  # spelled as in SQL
    if role["may_create"]:
        yield Finding("ok", f"role {name} may create schemas and publications in {database}")
    else:
        yield Finding(
            "warn",
            f"role {name} cannot create schemas in {database}: another role must run `realtime migrate`",
            f"GRANT CREATE ON DATABASE {database} TO {name};",
        )
    if not role["may_use_temporary"]:
        yield Finding(
            "problem",
            f"role {name} may not make temporary objects, which checking clients' SQL needs",
            f"GRANT TEMPORARY ON DATABASE {database} TO {name};",
        )
    if role["reader_member"] is False:
        yield Finding("problem", f"role {name} cannot become realtime_reader", f"GRANT realtime_reader TO {name};")


def _sender(dsn: str, connection: _Connection) -> Iterator[Finding]:
    """The role, pg_hba.conf and poolers in between decide this, so only an attempt shows it."""
    try:
        with connect_now(dsn, "realtime doctor", READS_ANYWAY, autocommit=True, replication="database") as sender:
            sender.execute("IDENTIFY_SYSTEM")
    except psycopg.Error as error:
        message = error.diag.message_primary or " ".join(str(error).split())
        yield Finding(
            "problem",
            f"a replication connection is not possible: {message}",
            sender_remedy(_one(connection, "feed_sender_facts"))
            or "Connect to PostgreSQL itself (not a pooler), as a role with REPLICATION that pg_hba.conf lets in.",
        )
    else:
        yield Finding("ok", "replication connections are possible")


def _collation(connection: _Connection) -> Iterator[Finding]:
    """`realtime dev` has a bytewise order; the usual locale of a production database has not."""
    row = _one(connection, "doctor_collation")
    if is_bytewise(row["provider"], row["collate"], utf8=row["utf8"]):
        yield Finding("ok", f"the default collation {row['locale']} is bytewise: text is ordered incrementally")
    elif not row["utf8"]:
        yield Finding(
            "warn",
            f"the encoding is {row['encoding']}: live queries that order or range by text columns are re-read",
            "Where that costs too much: a database with ENCODING 'UTF8'.",
        )
    else:
        yield Finding(
            "warn",
            f"the default collation is {row['locale']}: live queries that order or range by its text columns are re-read",
            'Where that costs too much: ALTER TABLE ... ALTER COLUMN ... TYPE text COLLATE "C".',
        )


def _slots(connection: _Connection) -> Iterator[Finding]:
    """Every slot of the cluster: each of them can hold WAL. Only those in ``realtime.slots`` are ours to drop."""
    own = own_slots(connection)
    holding, others = [], []
    for slot in connection.execute(query("doctor_slots")).fetchall():
        name, held = slot["name"], size_in_words(slot["retained"])
        if slot["ours"] and name in own:
            yield _own_slot(slot, name, held)
        elif slot["holds_segments"] and not slot["active"]:
            holding.append(f"{name} ({_kind(slot)}) {held}")
        else:
            others.append(f"{name} ({_kind(slot)}, {'in use' if slot['active'] else slot['wal_status'] or 'unused'})")
    if holding:
        yield Finding(
            "warn",
            f"slots hold WAL that nothing reads, and are not of this service's nodes in this database: {', '.join(holding)}",
            "Ask their owners whether they are needed: `realtime slots` shows how far behind each is.",
        )
    if others:
        yield Finding("ok", f"slots of others are in use or hold no WAL: {', '.join(others)}")


def _kind(slot: dict[str, Any]) -> str:
    return f"{slot['type']}, database {slot['database']}" if slot["database"] else str(slot["type"])


def _own_slot(slot: dict[str, Any], name: str, held: str) -> Finding:
    if slot["wal_status"] == "lost":
        return Finding(
            "warn",
            f"slot {name} is lost: the WAL it needs is gone",
            f"realtime slots drop {name} (a running server replaces its own)",
        )
    if not slot["active"]:
        return Finding(
            "warn",
            f"slot {name} has no reader and holds {held} of WAL",
            f"Start its server, or realtime slots drop {name}",
        )
    return Finding("ok", f"slot {name} is being read and holds {held} of WAL")


def _blockers(connection: _Connection) -> Iterator[Finding]:
    row = connection.execute(query("doctor_oldest_transaction")).fetchone()
    if row is not None:
        yield Finding(
            "warn",
            f"a transaction has been open for {row['seconds']:.0f} s (pid {row['pid']}): a new slot must wait for it",
            f"End it, or SELECT pg_terminate_backend({row['pid']});",
        )
    for row in connection.execute(query("doctor_prepared")).fetchall():
        yield Finding(
            "warn",
            f"prepared transaction {row['gid']} of {row['owner']} has waited for its end for {row['seconds']:.0f} s: "
            "a new slot must wait for it",
            f"In database {row['database']}: COMMIT PREPARED {row['gid']}; or ROLLBACK PREPARED {row['gid']};",
        )


def _plugin(dsn: str, server: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    """Minor releases of PostgreSQL since 2026 load only the output plugins that are listed (CVE-2026-6471)."""
    name = "wal2json" if settings.decoder == "wal2json" else "pgoutput"
    allowed = None if server["plugins"] is None else [each.strip() for each in server["plugins"].split(",")]
    if allowed is not None and name not in allowed:
        yield _not_allowed(name, allowed)
    elif name == "pgoutput":
        yield Finding("ok", "the decoder pgoutput is part of PostgreSQL")
    else:
        yield _try_plugin(dsn, name)


def _encoding(server: dict[str, Any], settings: Settings) -> Iterator[Finding]:
    encoding = server["encoding"]
    if encoding != "UTF8" and settings.decoder == "wal2json":
        yield Finding(
            "problem",
            f"wal2json does not convert values of a database in {encoding} to UTF-8",
            "Use --decoder pgoutput.",
        )
    elif encoding == "SQL_ASCII":
        yield Finding(
            "warn",
            "the encoding of the database is SQL_ASCII: a value that is not UTF-8 ends the live queries that read it, and a "
            "change to its row costs a new slot",
            "Move the data to a database with ENCODING 'UTF8'.",
        )
    else:
        yield Finding("ok", f"the encoding of the database is {encoding}")


def _not_allowed(name: str, allowed: list[str]) -> Finding:
    return Finding(
        "problem",
        f"the server does not allow {name} as an output plugin",
        f"ALTER SYSTEM SET output_plugin_libraries = '{', '.join([*allowed, name])}'; SELECT pg_reload_conf();",
    )


def _try_plugin(dsn: str, name: str) -> Finding:
    unknown = f"whether {name} can be loaded is not known"
    try:
        with connect_now(dsn, "realtime doctor", {"statement_timeout": "5s"}, autocommit=True) as connection:
            connection.execute(query("doctor_try_plugin"), [name])
    except psycopg.errors.QueryCanceled:
        return Finding("warn", f"{unknown}: an open transaction holds new slots up", "Try again later.")
    except psycopg.errors.UndefinedFile:
        return Finding(
            "problem",
            f"the decoder {name} is not installed on the database server",
            f"Install its package (postgresql-NN-{name}), or use --decoder pgoutput.",
        )
    except psycopg.Error as error:
        if isinstance(error, psycopg.errors.InsufficientPrivilege) and name in (error.diag.message_primary or ""):
            return _not_allowed(name, ["pgoutput", "test_decoding"])
        return Finding("warn", f"{unknown}: {error.diag.message_primary}", "Solve the problems above first.")
    return Finding("ok", f"the decoder {name} is installed")
