"""``realtime doctor`` inside a database: the schema ``realtime``, privileges, triggers, the publication, collections.

The connected role may have no rights at all: a missing privilege to look is a finding like any other.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import Any

import psycopg

from engine.channels.core.access_rules import AccessRules
from engine.postgres.missing_tables import REMEDY, tables_in_words
from engine.postgres.statements.named_queries import query
from engine.postgres.statements.schema_objects import lost_trigger
from server.cli.doctor.finding import Finding
from server.cli.doctor.row_security import policy_setting_findings
from server.cli.migration.migrate import wide_publications
from server.cli.migration.migration_state import DatabaseState, not_at_this_version, read_state
from server.content.policy import compile_policy
from server.rules.problems import rule_problems

__all__ = ["own_slots", "schema_findings"]

_Connection = psycopg.Connection[dict[str, Any]]


def schema_findings(connection: _Connection) -> Iterator[Finding]:
    """Check the database of ``connection``, migrated or not."""
    yield from _wide_publications(connection)
    state = read_state(connection)
    yield from _state(state)
    if not state.ours or state.missing or not state.readable or state.newer or state.changed:
        return
    unchecked: dict[str, None] = {}
    for check in _IN_MIGRATED if state.schema_current and not state.numbered else _OF_ANY_VERSION:
        try:
            yield from check(connection)
        except (
            psycopg.errors.InsufficientPrivilege,
            psycopg.errors.UndefinedTable,
            psycopg.errors.UndefinedFunction,
            psycopg.errors.UndefinedObject,
        ) as error:
            unchecked[str(error.diag.message_primary)] = None
    if unchecked:
        yield Finding(
            "problem",
            f"not everything can be checked: {'; '.join(unchecked)}",
            f"Run `realtime migrate` as {state.owner}; if the role lacks privileges, `realtime grant {state.role}`.",
        )


def own_slots(connection: _Connection) -> frozenset[str]:
    """Slots of this database's nodes, as far as the role may see them."""
    readable = connection.execute(query("nodes_readable")).fetchone()
    if readable is None or not readable["readable"]:
        return frozenset()
    return frozenset(str(row["slot"]) for row in connection.execute(query("node_slots")).fetchall())


def _wide_publications(connection: _Connection) -> Iterator[Finding]:
    for name in wide_publications(connection):
        yield Finding(
            "warn",
            f"publication {name} takes in the tables of the schema realtime too: its subscribers stop with "
            '"logical replication target relation does not exist"',
            "Let it name its tables or schemas, without realtime; or make the schema on the subscriber too "
            "(docs: Backup and restore, Other publications).",
        )


def _state(state: DatabaseState) -> Iterator[Finding]:
    if not state.ours and state.objects is not None:
        yield Finding(
            "problem",
            f"the schema realtime is not ours: it belongs to {state.owner} and holds {state.objects}",
            "Another product uses the name: use another database, or rename that schema.",
        )
    elif state.missing:
        yield Finding("problem", tables_in_words(state.missing), f"{REMEDY[0].upper()}{REMEDY[1:]}.")
    elif state.ours and not state.readable:
        yield Finding(
            "problem",
            f"role {state.role} has no privileges in the schema realtime",
            f"As {state.owner} or a superuser: `realtime grant {state.role}`, or SELECT realtime.grant_server(...).",
        )
    elif other := state.newer or state.changed:
        yield Finding("problem", other, "Install that version; this one refuses to serve and to migrate.")
    elif state.ahead:
        yield Finding("warn", state.ahead, "Upgrade it to that version.")
    elif (problem := not_at_this_version(state)) is not None:
        yield Finding("problem", problem, "Run `realtime migrate`.")
    else:
        yield Finding("ok", "migrations are up to date")


def _event_triggers(connection: _Connection) -> Iterator[Finding]:
    row = connection.execute(query("doctor_event_triggers")).fetchone()
    assert row is not None
    if row["enabled"] < 2:
        yield Finding(
            "warn",
            "event triggers are missing or disabled: DDL on exposed tables is noticed within 10 s or at their next row "
            "change",
            "Run `realtime migrate` once as a superuser.",
        )
    elif row["always"] < 2:
        yield Finding(
            "warn",
            "event triggers do not fire in sessions with session_replication_role = replica",
            "Run `realtime migrate` once as a superuser.",
        )
    else:
        yield Finding("ok", "event triggers announce DDL")


def _triggers(connection: _Connection) -> Iterator[Finding]:
    for row in connection.execute(query("doctor_triggers")).fetchall():
        yield Finding(
            "problem",
            lost_trigger(row),
            "Run `realtime migrate`.",
        )


def _roles(connection: _Connection) -> Iterator[Finding]:
    for row in connection.execute(query("roles_missing")).fetchall():
        yield Finding(
            "problem",
            f"the role {row['name']} does not exist in this cluster (restored from another one?)",
            "Run `realtime migrate` as a role with CREATEROLE: it makes the role and grants it what it had.",
        )


def _privileges(connection: _Connection) -> Iterator[Finding]:
    row = connection.execute(query("doctor_role")).fetchone()
    assert row is not None
    lacking = [str(row["statement"]) for row in connection.execute(query("doctor_privileges")).fetchall()]
    for statement in lacking:
        yield Finding(
            "problem",
            f"the connected role lacks privileges that serving needs (`realtime grant {row['name']}` gives it all)",
            statement,
        )
    if not lacking:
        yield Finding("ok", "the role has every privilege that serving needs in this database")
    for row in connection.execute(query("doctor_publisher_privileges")).fetchall():
        yield Finding(
            "problem",
            "realtime_publisher lacks privileges that publishing by SQL needs (`realtime migrate` grants them)",
            str(row["statement"]),
        )


def _other_owners(connection: _Connection) -> Iterator[Finding]:
    """Checks of domains can run with the server's rights while a query is analysed (docs: Security model)."""
    rows = connection.execute(query("doctor_other_owners")).fetchall()
    if rows:
        tables = ", ".join(f"{row['relation']} of {row['owner']}" for row in rows)
        yield Finding(
            "warn",
            f"the connected role is a superuser, and exposed tables belong to other roles ({tables}): "
            "a check of their domains that is replaced while a query is analysed has its rights",
            "Run the server as a role of its own: CREATE ROLE realtime_server LOGIN REPLICATION; "
            "then `realtime grant realtime_server`.",
        )


def _rules(connection: _Connection) -> Iterator[Finding]:
    """Rules of channels that no server can compile, and those with which a server failed."""
    rules = AccessRules()
    rules.load(connection.execute(query("engine_rules")).fetchall())
    for text in rule_problems(rules):
        yield Finding(
            "warn", f"{text}. It denies", "Correct the row of realtime.rules; `realtime rules test` tries it."
        )
    for row in connection.execute(query("rule_errors")).fetchall():
        if row["failed_in"] is not None:
            yield Finding(
                "warn",
                f"rule of {row['channel']!r}, {row['action']}: it failed in {row['failed_in']!r} and denied: {row['error']}",
                "Correct the row of realtime.rules, or the room's metadata; `realtime rules test` tries it.",
            )


def _content_policies(connection: _Connection) -> Iterator[Finding]:
    """Policies that no server can compile; a disabled one concerns no message."""
    for row in connection.execute(query("engine_content_policies")).fetchall():
        policy = compile_policy(row)
        if policy.problem is not None and row["enabled"] == "t":
            yield Finding(
                "warn",
                f"content policy {policy.name!r}: {policy.problem}. All that it concerns is refused",
                "Correct the row of realtime.content_policies, or set its enabled to false.",
            )


def _publication(connection: _Connection) -> Iterator[Finding]:
    found = connection.execute(query("doctor_publication")).fetchone()
    if found is None:
        yield Finding(
            "problem",
            "the publication bunbase_realtime is missing",
            "Run `realtime migrate`: it makes the publication, with the exposed tables in it.",
        )
    elif not found["complete"]:
        yield Finding(
            "problem",
            "the publication bunbase_realtime does not publish everything",
            "Run `realtime migrate`, or ALTER PUBLICATION bunbase_realtime "
            "SET (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);",
        )
    elif not found["generated"]:
        yield Finding(
            "warn",
            "the publication bunbase_realtime does not publish stored generated columns: live queries on them are re-read",
            "Run `realtime migrate`, or ALTER PUBLICATION bunbase_realtime SET (publish_generated_columns = stored);",
        )
    else:
        yield Finding("ok", "the publication is there")


def _collections(connection: _Connection) -> Iterator[Finding]:
    rows = connection.execute(query("doctor_collections")).fetchall()
    found = [finding for row in rows for finding in _collection(row)]
    yield from found
    if not rows:
        yield Finding("warn", "no table is exposed to clients yet", "realtime expose TABLE")
    elif not any(finding.level == "problem" for finding in found):
        yield Finding("ok", f"{len(rows)} exposed tables can be followed")


def _collection(row: dict[str, Any]) -> Iterator[Finding]:
    name, relation = row["name"], row["relation"]
    if row["dropped"]:
        yield Finding("problem", f"collection {name}: its table is gone", f"realtime unexpose {name}")
        return
    if not row["published"]:
        yield Finding(
            "problem",
            f"collection {name}: {relation} is not in the publication",
            "Run `realtime migrate`: it adds the table while no transaction is writing to it.",
        )
    for problem, full in row["problems"]:
        yield Finding(
            "problem",
            f"collection {name}: {problem}, so PostgreSQL refuses its updates and deletes",
            f"{full}  (or a primary key and REPLICA IDENTITY DEFAULT)",
        )
    for grant in row["reader_lacks"]:
        yield Finding(
            "problem",
            f"collection {name}: realtime_reader, which runs clients' SQL, may not read all exposed columns of {relation} "
            "(`realtime migrate` grants that)",
            grant,
        )
    if row["columns_differ"]:
        yield Finding(
            "problem",
            f"collection {name}: what realtime_reader may read of {relation} are not the columns that it was exposed with",
            "Look whether a column was renamed; then expose the table again with the columns that clients may see: "
            f"realtime expose {shlex.quote(relation)} --name {name} --columns ...",
        )
    if row["renamed"]:
        yield Finding(
            "warn",
            f"collection {name} shows {relation}, which had another name when it was exposed: "
            "a collection follows the table, not the name",
            f"If that is meant: realtime expose {shlex.quote(relation)} --name {name}. If not: realtime unexpose {name}, "
            "and expose the table that has the name now.",
        )


_OF_ANY_VERSION: tuple[Callable[[_Connection], Iterator[Finding]], ...] = (_event_triggers, _roles, _publication)
_IN_MIGRATED = (
    _event_triggers,
    _triggers,
    _roles,
    _privileges,
    _other_owners,
    _publication,
    _collections,
    _rules,
    _content_policies,
    policy_setting_findings,
)
