"""An upgrade from the schema in which a node's row held its slot."""

from __future__ import annotations

import psycopg

from server.cli.migration.migrate import migrate

BEFORE = """
drop table realtime.slots cascade;
alter table realtime.nodes add slot_name name unique, add throw_away boolean not null default false;
delete from realtime.migrations where name = '0006_slots';
insert into realtime.nodes (id, slot_name, throw_away, host, pid, started_at, lease_expires_at) values
  ('one', 'slot_1', false, 'here', 7, '2026-01-02 00:00+00', '2026-01-03 00:00+00'),
  ('two', 'slot_2', true, 'there', 8, '2026-01-04 00:00+00', '2026-01-05 00:00+00');
insert into realtime.connections (id, node_id, transport) values ('c', 'one', 'websocket');
"""


def test_an_upgrade_keeps_every_node_with_its_slot_and_its_connections(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as sql:
        sql.execute(BEFORE)
        nodes = "select id, host, pid, started_at, lease_expires_at from realtime.nodes order by id"
        before = sql.execute(nodes).fetchall()
        assert migrate(database)[0] == "applied 0006_slots"
        assert sql.execute(nodes).fetchall() == before
        slots = "select name, node, ephemeral, created_at from realtime.slots order by name"
        assert sql.execute(slots).fetchall() == [
            ("slot_1", "one", False, before[0][3]),
            ("slot_2", "two", True, before[1][3]),
        ]
        assert sql.execute("select id, node_id from realtime.connections").fetchall() == [("c", "one")]
