-- Azure Database for PostgreSQL, flexible server. Run it as the administrator (azure_pg_admin), in the database:
--
--   psql -v ON_ERROR_STOP=1 -v owner=app_owner -d app -f azure.sql
--
-- Before: the server parameters wal_level = logical, max_slot_wal_keep_size, and where needed max_replication_slots and max_wal_senders; then restart the server.
--
-- What cannot be had: a superuser, ALTER SYSTEM (server parameters instead), pg_hba.conf, and event triggers unless your version lets azure_pg_admin
-- make them: `realtime migrate` warns and goes on. The built-in PgBouncer (port 6432) can serve as pooled_dsn, not as dsn.
-- Source: Azure documentation, "Logical replication and logical decoding in Azure Database for PostgreSQL".

select format('create role %s', wanted.definition)
from (values ('realtime_reader', 'realtime_reader nologin noinherit'), ('realtime_publisher', 'realtime_publisher nologin'),
        ('realtime_server', 'realtime_server login')) wanted (name, definition)
where not exists (select from pg_roles r where r.rolname = wanted.name)
\gexec

alter role realtime_server with replication;
grant realtime_reader to realtime_server;
grant create, connect, temporary on database :"DBNAME" to realtime_server;
grant :"owner" to realtime_server;
