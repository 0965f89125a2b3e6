-- Neon. Create the role realtime_server in the console or with the CLI: roles that are made there may replicate, roles made by SQL may not.
-- Run it as the owner of the database, in the database:
--
--   psql -v ON_ERROR_STOP=1 -v owner=app_owner -d app -f neon.sql
--
-- Before: enable logical replication in the settings of the project. It cannot be switched off again, and restarts all computes.
--
-- What cannot be had: a superuser, ALTER SYSTEM, max_slot_wal_keep_size (Neon removes inactive slots after about 40 hours if others are active; a node makes a new
-- one by itself), and event triggers unless your version lets neon_superuser make them: `realtime migrate` warns and goes on.
-- Costs: a compute with a node does not scale to zero. Restoring a branch removes its slots. Use the direct host as dsn; the one with "-pooler" can be pooled_dsn.
-- Source: Neon documentation, "Logical replication in Neon".

select format('create role %s', wanted.definition)
from (values ('realtime_reader', 'realtime_reader nologin noinherit'), ('realtime_publisher', 'realtime_publisher nologin')) wanted (name, definition)
where not exists (select from pg_roles r where r.rolname = wanted.name)
\gexec

grant realtime_reader to realtime_server;
grant create, connect, temporary on database :"DBNAME" to realtime_server;
grant :"owner" to realtime_server;
