-- name: expose
-- The command line's `expose`: table, name, columns, camel_case, replica_identity.
select realtime.expose(%s::text::regclass, %s::text, %s::name[], %s::boolean, %s::text)

-- name: unexpose
-- The command line's `unexpose`.
select realtime.unexpose(%s::text)

-- name: doctor_server
-- What the server allows. The list of plugins is null where it is not known or may not be seen. Slots and senders are shared by the whole cluster, so all of them count.
select current_setting('server_version_num')::int as version,
       current_setting('server_version') as version_text,
       pg_is_in_recovery() as standby,
       current_setting('wal_level') as wal_level,
       current_setting('max_replication_slots')::int as max_slots,
       (select count(*) from pg_replication_slots)::int as slots,
       current_setting('max_wal_senders')::int as max_senders,
       (select count(*) from pg_stat_replication)::int as senders,
       (select setting::bigint from pg_settings where name = 'max_slot_wal_keep_size') as keep_size_mb,
       (select setting from pg_settings where name = 'output_plugin_libraries') as plugins

-- name: doctor_role
-- What the connecting role may do. Since 16 a member may be granted without SET.
select r.rolname as name,
       r.rolsuper as superuser,
       r.rolreplication as replication,
       has_database_privilege(current_database(), 'create') as may_create,
       has_database_privilege(current_database(), 'temporary') as may_use_temporary,
       current_database() as database,
       case when exists (select from pg_roles where rolname = 'realtime_reader')
            then pg_has_role(current_user, 'realtime_reader', case
              when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end) end as reader_member
from pg_roles r where r.rolname = current_user

-- name: doctor_collation
-- The database's encoding and default collation. Its provider is known since 15 (before, it is libc); ICU's and the builtin
-- provider's locales have a column of their own (daticulocale in 15 and 16, datlocale since 17).
select pg_encoding_to_char(d.encoding) = 'UTF8' as utf8,
       coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') as provider,
       d.datcollate as collate,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', d.datcollate) as locale
from pg_database d where d.datname = current_database()

-- name: doctor_event_triggers
-- How many of the two event triggers that announce DDL are there and enabled.
select count(*)::int as enabled
from pg_event_trigger where evtname in ('realtime_ddl_end', 'realtime_ddl_drop') and evtenabled <> 'D'

-- name: doctor_publication
-- The publication, if it is there.
select pubviaroot and pubinsert and pubupdate and pubdelete and pubtruncate as complete
from pg_publication where pubname = 'bunbase_realtime'

-- name: doctor_collections
-- Each exposed table: is it published, and which of its members (itself or its partitions) cannot be followed and why.
select c.name,
       c.relation::regclass::text as relation,
       exists (
         select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
         where p.pubname = 'bunbase_realtime' and r.prrelid = c.relation
       ) as published,
       array(
         select problem
         from (select t.relid from pg_partition_tree(c.relation) t where t.isleaf
               union select c.relation where not exists (select from pg_partitioned_table p where p.partrelid = c.relation)) m,
              realtime.identity_problem(m.relid) problem
         where problem is not null
       ) as problems
from realtime.collections c
join pg_class k on k.oid = c.relation
order by c.name

-- name: doctor_slots
-- Logical slots of this database and the WAL they hold.
select slot_name::text as name, active, coalesce(wal_status, '') as wal_status,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint as retained
from pg_replication_slots where slot_type = 'logical' and database = current_database()
order by slot_name

-- name: doctor_oldest_transaction
-- The transaction with an id that has run longest: a new slot must wait for it.
select pid, extract(epoch from now() - xact_start)::float8 as seconds
from pg_stat_activity
where backend_xid is not null and pid <> pg_backend_pid() and xact_start < now() - interval '1 minute'
order by xact_start limit 1

-- name: doctor_try_plugin
-- Whether the output plugin can be loaded: a temporary slot, which goes with the connection.
select pg_create_logical_replication_slot('realtime_doctor_' || pg_backend_pid(), %s::text, true)
