"""Who may execute a function of the schema ``realtime`` is what the DBA set, also after the function got other arguments."""

from __future__ import annotations

import psycopg

from server.cli.local_postgres import LocalPostgres
from server.cli.migration.migrate import migrate
from tests.conftest import database_on

EARLIER = """
drop function realtime.expose(regclass, text, name[], boolean, text, name);
create function realtime.expose(relation regclass, name text default null, columns name[] default null,
  camel_case boolean default false, replica_identity text default null) returns text
language sql as 'select null::text';
revoke all on function realtime.expose(regclass, text, name[], boolean, text) from public;
grant execute on function realtime.expose(regclass, text, name[], boolean, text) to a_role with grant option;
create function realtime.send(channel text, event text, payload jsonb, sender text, id text, audience jsonb, priority int)
returns text language sql as 'select null::text';
revoke all on function realtime.send(text, text, jsonb, text, text, jsonb, integer) from public;
revoke all on function realtime.kick(text, text, text) from public;
grant execute on function realtime.kick(text, text, text) to a_role;
update realtime.migrations set checksum = 'of an earlier version' where name = 'sql/schema';
"""
"""Functions as an earlier version had them, with a DBA's grants. The one that ``send`` had stays closed, and the other
``send`` was there all the time.
"""

GRANTS = """
select p.proname, a.grantee::regrole::text, a.is_grantable
from pg_proc p cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
where p.pronamespace = 'realtime'::regnamespace and p.proname in ('expose', 'send', 'kick') and a.grantee <> p.proowner
  and a.grantee <> coalesce(to_regrole('realtime_publisher')::oid, 0)
order by 1, 2
"""


def test_a_function_with_other_arguments_keeps_who_may_execute_it(pg: LocalPostgres) -> None:
    with database_on(pg) as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create role a_role")
        try:
            connection.execute(EARLIER)
            expected = connection.execute(GRANTS).fetchall()
            assert ("expose", "a_role", True) in expected
            steps = migrate(dsn)
            assert [step for step in steps if step.startswith("kept: ")] == [
                f"kept: {statement} ON FUNCTION realtime.expose(regclass,text,name[],boolean,text,name) {rest}"
                for statement, rest in (
                    ("GRANT EXECUTE", "TO a_role WITH GRANT OPTION"),
                    ("REVOKE EXECUTE", "FROM PUBLIC"),
                )
            ]
            assert connection.execute(GRANTS).fetchall() == expected
            assert migrate(dsn) == []
        finally:
            connection.execute("drop owned by a_role; drop role a_role")
