-- Google Cloud SQL for PostgreSQL. Run it as the user postgres (cloudsqlsuperuser), in the database:
--
--   psql -v ON_ERROR_STOP=1 -v owner=app_owner -d app -f cloud-sql.sql
--
-- Before: the flags cloudsql.logical_decoding = on, max_slot_wal_keep_size, and where needed max_replication_slots and max_wal_senders; the instance restarts.
--
-- What cannot be had: a superuser, ALTER SYSTEM (flags instead), pg_hba.conf, session_replication_role, and event triggers unless your version lets
-- cloudsqlsuperuser make them: `realtime migrate` warns and goes on. Connect to the instance itself or through the
-- Auth Proxy. A replica up to PostgreSQL 15 cannot be a source.
-- Sources: Cloud SQL documentation, "Set up logical replication and decoding", "Configure database flags".

select format('create role %s', wanted.definition)
from (values ('realtime_reader', 'realtime_reader nologin noinherit'), ('realtime_publisher', 'realtime_publisher nologin'),
        ('realtime_server', 'realtime_server login')) wanted (name, definition)
where not exists (select from pg_roles r where r.rolname = wanted.name)
\gexec

alter role realtime_server with replication;
grant realtime_reader to realtime_server;
grant create, connect, temporary on database :"DBNAME" to realtime_server;
grant :"owner" to realtime_server;
