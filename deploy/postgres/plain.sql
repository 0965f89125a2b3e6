-- A PostgreSQL of your own: a role that installs, serves and uninstalls, and is no superuser. Run it as a superuser, in the database:
--
--   psql -v ON_ERROR_STOP=1 -v owner=app_owner -d app -f plain.sql
--
-- owner: the role that owns the tables that are to be exposed. Once before, and then a restart:
--
--   alter system set wal_level = 'logical';
--   alter system set max_slot_wal_keep_size = '10GB';  -- what the disk can spare
--
-- Then, as realtime_server: realtime migrate, realtime doctor, realtime expose TABLE, realtime serve. remove.sql undoes this script.
--
-- What this role does not get: CREATEROLE (the two roles below exist already), and event triggers, which only a superuser can make. Without them
-- a changed definition is noticed within ten seconds, and new partitions need realtime.watch_partitions(). A superuser's `realtime migrate` makes
-- them; their function then runs in the sessions of all who define tables, superusers too, and belongs to realtime_server: trust that role as a superuser then.

select format('create role %s', wanted.definition)
from (values ('realtime_reader', 'realtime_reader nologin noinherit'), ('realtime_publisher', 'realtime_publisher nologin'),
        ('realtime_server', 'realtime_server login replication')) wanted (name, definition)
where not exists (select from pg_roles r where r.rolname = wanted.name)
\gexec

-- Clients' queries run as realtime_reader. Its password, unless pg_hba.conf lets it in by other means: \password realtime_server
grant realtime_reader to realtime_server;
-- The schema realtime and the publication.
grant create, connect, temporary on database :"DBNAME" to realtime_server;
-- Only the owner of a table may publish it and grant its columns.
grant :"owner" to realtime_server;
-- What one read of a live query may write to temporary files (setting query_temporary_size): only a superuser may bound it.
alter role realtime_server set temp_file_limit = '1GB';
