-- Undoes plain.sql, after `realtime uninstall`. Run it as a superuser, in the database:
--
--   psql -v ON_ERROR_STOP=1 -v owner=app_owner -d app -f remove.sql
--
-- A role that another database of the cluster still uses cannot be dropped: run it there first.

-- What follows would take the schema away and leave the slots, which hold WAL for ever then.
select exists (select from pg_namespace where nspname = 'realtime') as installed \gset
\if :installed
do $$ begin raise exception 'the service is still installed in this database: run `realtime uninstall` first'; end $$;
\quit
\endif

revoke :"owner" from realtime_server;
drop owned by realtime_server, realtime_reader, realtime_publisher;
drop role realtime_server, realtime_reader, realtime_publisher;
