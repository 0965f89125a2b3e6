"""Partitions that belong to another role than their table."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from server.app.settings import Settings
from server.cli.doctor.diagnose import diagnose
from tests.integration.schema.conftest import REFUSED, Roles


def partition_state(roles: Roles, name: str) -> tuple[Any, ...]:
    [found] = roles.run(
        None,
        "select relreplident, exists (select from pg_trigger t where t.tgrelid = c.oid and t.tgname = 'realtime_truncate')"
        f" from pg_class c where c.oid = '{name}'::regclass",
    )
    return found


def test_exposing_a_partitioned_table_changes_no_partition_that_belongs_to_another_role(roles: Roles) -> None:
    for call in (
        "select realtime.expose('shop.parts')",
        "select realtime.expose('shop.parts', replica_identity => 'full')",
    ):
        roles.run(None, f"alter table shop.parts_1 owner to {roles.stranger}")
        with pytest.raises(REFUSED, match=r"must be owner of partition shop.parts_1") as refused:
            roles.run(roles.owner, call)
        assert f"It belongs to {roles.stranger}" in str(refused.value.diag.message_hint)
        assert partition_state(roles, "shop.parts_1") == ("d", False)
        assert roles.run(None, "select name from realtime.collections") == []
    roles.run(None, "select realtime.expose('shop.parts')")  # a superuser may
    assert partition_state(roles, "shop.parts_1") == ("d", True)
    # Nothing of the partition is changed now, so its owner need not agree.
    roles.run(roles.owner, "select realtime.expose('shop.parts', camel_case => true)")
    with pytest.raises(REFUSED, match=r"must be owner of partition shop.parts_1"):
        roles.run(roles.owner, "select realtime.expose('shop.parts', replica_identity => 'full')")
    roles.run(None, f'grant {roles.stranger} to "{roles.owner}"')
    roles.run(roles.owner, "select realtime.expose('shop.parts', replica_identity => 'full')")
    assert partition_state(roles, "shop.parts_1") == ("f", True)


def test_a_partition_of_another_owner_announces_truncate_once_it_was_attached(roles: Roles) -> None:
    roles.run(roles.owner, "select realtime.expose('shop.parts')")
    roles.run(roles.stranger, "create table shop.parts_2 (id int primary key)")
    roles.run(None, "alter table shop.parts attach partition shop.parts_2 for values from (10) to (20)")
    assert partition_state(roles, "shop.parts_2") == ("d", True)


def test_an_attached_partition_that_may_not_be_watched_is_announced_all_the_same(roles: Roles) -> None:
    """The owner of the schema realtime need not have the rights of the partition's owner."""
    roles.run(roles.owner, "select realtime.expose('shop.parts')")
    roles.run(roles.stranger, "create table shop.parts_2 (id int primary key)")
    schema_owner = f"schema_{roles.stranger}"
    slot = f"ddl_{roles.stranger}"
    roles.run(
        None,
        f"create role {schema_owner}; grant all on schema realtime to {schema_owner}",
        f"grant all on all tables in schema realtime to {schema_owner}",
        f"grant execute on all functions in schema realtime to {schema_owner}",
        f"alter function realtime.note_ddl() owner to {schema_owner}",
        f"select pg_create_logical_replication_slot('{slot}', 'test_decoding')",
    )
    reported: list[str] = []
    try:
        with psycopg.connect(roles.dsn, autocommit=True) as connection:
            connection.add_notice_handler(
                lambda notice: reported.append(f"{notice.message_primary} {notice.message_hint}")
            )
            connection.execute("alter table shop.parts attach partition shop.parts_2 for values from (10) to (20)")
        [warning] = [each for each in reported if "TRUNCATE" in each]  # PostgreSQL 14 has another one
        assert "TRUNCATE of single partitions of shop.parts is not announced" in warning
        assert "select realtime.watch_partitions('shop.parts');" in warning
        sent = roles.run(None, f"select data from pg_logical_slot_get_changes('{slot}', null, null)")
        assert any("realtime.ddl" in data and '"ALTER TABLE"' in data for (data,) in sent), sent
        found = [str(finding) for finding in diagnose(roles.dsn, Settings())]
        assert any("trigger realtime_truncate on shop.parts_2 is missing" in line for line in found)
        roles.run(None, "select realtime.watch_partitions('shop.parts')")
        assert partition_state(roles, "shop.parts_2") == ("d", True)
    finally:
        roles.run(
            None,
            "alter function realtime.note_ddl() owner to postgres",
            f"drop owned by {schema_owner}; drop role {schema_owner}",
            f"select pg_drop_replication_slot('{slot}')",
        )
