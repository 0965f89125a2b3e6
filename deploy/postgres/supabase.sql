-- Supabase. Its database has a schema realtime already, that of Supabase Realtime, and this service has no other name for its own: `realtime migrate`
-- refuses that database ("the schema realtime is not ours"), and nothing there may be dropped. What remains is a database of its own beside it, if your plan
-- lets the role postgres create one. Tables in the database "postgres" cannot be exposed.
--
-- Run it as postgres, in that other database:
--
--   psql -v ON_ERROR_STOP=1 -v owner=postgres -d app -f supabase.sql
--
-- What cannot be had: a superuser, ALTER SYSTEM (settings such as max_slot_wal_keep_size through the CLI), event triggers (`realtime migrate` warns
-- and goes on). wal_level is logical already. Use the direct connection as dsn (IPv6, or the IPv4 add-on): Supavisor passes no replication connections.
-- Sources: Supabase documentation, "Roles, superuser access and unsupported operations", "Manual replication FAQ".

select format('create role %s', wanted.definition)
from (values ('realtime_reader', 'realtime_reader nologin noinherit'), ('realtime_publisher', 'realtime_publisher nologin'),
        ('realtime_server', 'realtime_server login')) wanted (name, definition)
where not exists (select from pg_roles r where r.rolname = wanted.name)
\gexec

alter role realtime_server with replication;
grant realtime_reader to realtime_server;
grant create, connect, temporary on database :"DBNAME" to realtime_server;
grant :"owner" to realtime_server;
