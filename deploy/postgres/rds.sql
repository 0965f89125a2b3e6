-- Amazon RDS for PostgreSQL, and Aurora PostgreSQL. Run it as the master user, in the database:
--
--   psql -v ON_ERROR_STOP=1 -v owner=app_owner -d app -f rds.sql
--
-- Before: in the parameter group (Aurora: of the cluster) rds.logical_replication = 1, and max_slot_wal_keep_size; then restart the instance.
--
-- What cannot be had: the attribute REPLICATION (the role rds_replication stands for it; neither serve nor doctor looks at the attribute), ALTER SYSTEM
-- (parameter groups instead), pg_hba.conf, and plugins other than those that are installed (pgoutput, test_decoding, wal2json).
-- What can: the master user may create event triggers, so run `realtime migrate` as the master user if you want them, and then
-- `realtime grant realtime_server`. Connect to the instance itself: RDS Proxy passes no replication connections.
-- Sources: AWS documentation, "Performing logical replication for Amazon RDS for PostgreSQL", "Event triggers for RDS for PostgreSQL",
-- "Understanding the rds_superuser role".

select format('create role %s', wanted.definition)
from (values ('realtime_reader', 'realtime_reader nologin noinherit'), ('realtime_publisher', 'realtime_publisher nologin'),
        ('realtime_server', 'realtime_server login')) wanted (name, definition)
where not exists (select from pg_roles r where r.rolname = wanted.name)
\gexec

grant rds_replication to realtime_server;
grant realtime_reader to realtime_server;
grant create, connect, temporary on database :"DBNAME" to realtime_server;
grant :"owner" to realtime_server;
