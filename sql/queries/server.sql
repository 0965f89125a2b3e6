-- name: path_of_role
-- Resolve names by the search_path of the role or the database from now on: statements that are not this service's run so.
set search_path to default

-- name: schemas_in_path
-- The schemas of the search_path that there are, in order. Runs under the role's own path: no function of another role is called.
select pg_catalog.current_schemas(true)::pg_catalog.text[]

-- name: named_tables
-- Every relation that a name could stand for.
select c.oid::bigint as oid, n.nspname::text as schema, c.relname::text as name, format('%I.%I', n.nspname, c.relname) as spelling
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not like 'pg\_toast%' and n.nspname not like 'pg\_temp%'

-- name: columns_of
-- The columns of a table, in order.
select a.attname::text from pg_attribute a where a.attrelid = %s and a.attnum > 0 and not a.attisdropped order by a.attnum

-- name: role_names
-- Every role of the cluster.
select r.rolname::text from pg_roles r

-- name: collections_by_table
-- Each collection with the table that it shows.
select c.relation::oid::bigint, c.name from realtime.collections c

-- name: expose
-- The command line's `expose`: table (oid), name, columns, camel_case, replica_identity, owner_only.
select realtime.expose(%s::oid::regclass, %s::text, %s::name[], %s::boolean, %s::text, %s::name)

-- name: unexpose
-- The command line's `unexpose`.
select realtime.unexpose(%s::text)

-- name: grant_server
-- The command line's `grant`; the GRANTs that it made.
select realtime.grant_server(%s::name)

-- name: create_api_key
-- The command line's `keys create`.
select realtime.create_api_key(%(name)s, %(kind)s, %(scopes)s::text[], now() + make_interval(secs => %(seconds)s),
                               %(allowed)s::inet[], %(denied)s::inet[])

-- name: list_api_keys
-- The command line's `keys list`.
select name, kind, prefix, coalesce(array_to_string(scopes, ', '), case kind when 'secret' then 'all' else '-' end),
       coalesce(to_char(expires_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC', 'never'),
       coalesce(nullif(concat_ws(' ', array_to_string(allowed_ips, ' '), 'not ' || nullif(array_to_string(denied_ips, ' '), '')), ''), 'any'),
       case when revoked_at is not null then 'revoked' when expires_at <= now() then 'expired' else 'valid' end, id::text
from realtime.api_keys order by created_at desc, id

-- name: revoke_api_key
-- The command line's `keys revoke`.
select realtime.revoke_api_key(%(key)s)

-- name: doctor_server
-- What the server allows. The list of plugins is null where it is not known or may not be seen. Slots and senders are shared by the whole cluster, so all of them count.
select current_setting('server_version_num')::int as version,
       current_setting('server_version') as version_text,
       pg_is_in_recovery() as standby,
       current_setting('wal_level') as wal_level,
       current_setting('synchronous_standby_names') as synchronous_standby_names,
       current_setting('server_encoding') as encoding,
       current_setting('max_replication_slots')::int as max_slots,
       (select count(*) from pg_replication_slots)::int as slots,
       current_setting('max_wal_senders')::int as max_senders,
       (select count(*) from pg_stat_replication)::int as senders,
       (select setting::bigint from pg_settings where name = 'max_slot_wal_keep_size') as keep_size_mb,
       (select setting from pg_settings where name = 'output_plugin_libraries') as plugins

-- name: read_only_source
-- What keeps this session from writing: a standby, or default_transaction_read_only. source: where that is set (docs: pg_settings).
select pg_is_in_recovery() as standby,
       s.setting = 'on' as read_only,
       s.source,
       quote_ident(current_database()) as database,
       quote_ident(session_user) as role
from pg_settings s where s.name = 'default_transaction_read_only'

-- name: doctor_role
-- What the connecting role may do; names as in SQL. Since 16 a member may be granted without SET.
select quote_ident(r.rolname) as name,
       has_database_privilege(current_database(), 'create') as may_create,
       has_database_privilege(current_database(), 'temporary') as may_use_temporary,
       quote_ident(current_database()) as database,
       case when exists (select from pg_roles where rolname = 'realtime_reader')
            then pg_has_role(current_user, 'realtime_reader', case
              when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end) end as reader_member
from pg_roles r where r.rolname = current_user

-- name: doctor_connections
-- How many connections the role can have, by each limit that there is (null: none), and how many are open that count for it. Those of the service in
-- this database do not count: they are the ones to make room for. Slots are reserved for superusers, since 16 also for pg_use_reserved_connections.
with own as (
  select count(*) filter (where s.usename = current_user and s.datname = current_database() and s.application_name like 'realtime %')::int as service,
         count(*) filter (where s.usename = current_user)::int as role, count(*) filter (where s.datname = current_database())::int as database
  from pg_stat_activity s
)
select quote_ident(current_user) as role, quote_ident(current_database()) as database, w.what, w.most, w.used - own.service as used
from own, pg_roles r, pg_database d, lateral (values
  ('server', current_setting('max_connections')::int - case when r.rolsuper then 0 else current_setting('superuser_reserved_connections')::int
      + case when coalesce(pg_has_role(current_user, to_regrole('pg_use_reserved_connections')::oid, 'usage'), false) then 0
             else coalesce(current_setting('reserved_connections', true), '0')::int end end,
    (select sum(numbackends)::int from pg_stat_database)),
  ('role', case when r.rolconnlimit >= 0 and not r.rolsuper then r.rolconnlimit end, own.role),
  ('database', case when d.datconnlimit >= 0 and not r.rolsuper then d.datconnlimit end, own.database)
) w (what, most, used)
where r.rolname = current_user and d.datname = current_database() and w.most is not null

-- name: doctor_collation
-- The database's encoding and default collation. Its provider is known since 15 (before, it is libc); ICU's and the builtin
-- provider's locales have a column of their own (daticulocale in 15 and 16, datlocale since 17).
select pg_encoding_to_char(d.encoding) as encoding, pg_encoding_to_char(d.encoding) = 'UTF8' as utf8,
       coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') as provider,
       d.datcollate as collate,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', d.datcollate) as locale
from pg_database d where d.datname = current_database()

-- name: doctor_policed
-- Whether a table with row-level security is exposed.
select exists (select from realtime.collections k join pg_class c on c.oid = k.relation and c.relrowsecurity) as policed

-- name: doctor_event_triggers
-- How many of the two event triggers that announce DDL are there and enabled, and how many also for session_replication_role = replica.
select count(*) filter (where evtenabled <> 'D')::int as enabled, count(*) filter (where evtenabled = 'A')::int as always
from pg_event_trigger where evtname in ('realtime_ddl_end', 'realtime_ddl_drop')

-- name: doctor_publication
-- The publication, if it is there. Generated columns can be published since PostgreSQL 18.
select pubviaroot and pubinsert and pubupdate and pubdelete and pubtruncate as complete,
       coalesce(to_jsonb(p) ->> 'pubgencols' = 's', true) as generated
from pg_publication p where pubname = 'bunbase_realtime'

-- name: doctor_triggers
-- Triggers of this service that are missing, disabled, or do not fire when they should (A: always, O: not for replicated rows, R: only for those).
with wanted (relation, name, fires) as (
  select to_regclass('realtime.' || w.relation), w.name, w.fires
  from (values ('collections', 'collections_changed', 'A'), ('presence', 'presence_removed', 'A'), ('nodes', 'node_removed', 'A'),
               ('channels', 'check_channel', 'O'), ('channel_defaults', 'check_default', 'O'), ('messages', 'check_size', 'O'), ('messages', 'zzz_own_xid', 'O'),
               ('alerts', 'broadcast_alert', 'O'), ('routes', 'check_route', 'O'), ('content_policies', 'check_content_policy', 'O'), ('rules', 'check_rule', 'O'),
               ('settings', 'skip_replicated', 'R'), ('epochs', 'skip_replicated', 'R'), ('commits', 'skip_replicated', 'R'), ('expired', 'skip_replicated', 'R'),
               ('dropped_days', 'skip_replicated', 'R'), ('slots', 'skip_replicated', 'R'), ('changed_identities', 'skip_replicated', 'R'), ('made_grants', 'skip_replicated', 'R'),
               ('nodes', 'skip_replicated', 'R'), ('connections', 'skip_replicated', 'R'), ('presence', 'skip_replicated', 'R'),
               ('messages', 'take_local_xid', 'R'), ('message_ids', 'take_local_xid', 'R')) w (relation, name, fires)
  union all
  select 'realtime.presence', o.name, 'A'
  from unnest('{room_occupied,room_vacated}'::text[]) o (name) where exists (select from realtime.occupancy)
  union all
  select p.relid, 'realtime_truncate', 'A'
  from realtime.collections c join pg_partitioned_table t on t.partrelid = c.relation, realtime.leaves(c.relation) p (relid)
  where p.relid <> c.relation
)
select w.relation::text, w.name,
       case when t.oid is null then 'is missing' when t.tgenabled = 'D' then 'is disabled' else 'does not fire in every session that it should' end as what
from wanted w left join pg_trigger t on t.tgrelid = w.relation and t.tgname = w.name
where t.tgenabled is distinct from w.fires::"char" and w.relation is not null
order by 1, 2

-- name: doctor_privileges
-- The GRANTs that the connected role lacks.
select m.statement from realtime.missing_privileges(current_user, 'serve') m

-- name: doctor_other_owners
-- Exposed tables whose owner is neither superuser nor the owner of the schema realtime, if the connected role is a superuser.
select k.oid::regclass::text as relation, o.rolname::text as owner
from realtime.collections c join pg_class k on k.oid = c.relation join pg_roles o on o.oid = k.relowner
where exists (select from pg_roles r where r.rolname = current_user and r.rolsuper) and not o.rolsuper
  and o.oid <> (select n.nspowner from pg_namespace n where n.nspname = 'realtime')
order by 1

-- name: doctor_publisher_privileges
-- The GRANTs that realtime_publisher lacks, if it exists.
select m.statement from pg_roles r, realtime.missing_privileges(r.rolname, 'publish') m where r.rolname = 'realtime_publisher'

-- name: nodes_readable
-- Whether the tables of nodes and of their slots are there and this role may read them.
select count(*) = 2 as readable from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'realtime' and c.relname in ('nodes', 'slots') and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')

-- name: node_slots
-- The slots of this database's nodes, with their nodes (null: removed).
select s.name::text as slot, n.id, n.host from realtime.slots s left join realtime.nodes n on n.id = s.node

-- name: doctor_collections
-- Each exposed table: is it there, published and readable for clients' SQL, which of its members (itself or its partitions) cannot be
-- followed, why, and what corrects that, and has it got another name since.
select c.name,
       c.relation::regclass::text as relation,
       k.oid is null as dropped,
       k.relname <> c.table_name or c.table_name is null and k.relname <> c.name and exists (
         select from pg_class o where o.relname = c.name and o.relnamespace = k.relnamespace and o.relkind in ('r', 'p')
       ) as renamed,
       realtime.is_published(c.relation) as published,
       array(
         select array[problem, format('ALTER TABLE %s REPLICA IDENTITY FULL;', m.relid::regclass)]
         from realtime.leaves(c.relation) m (relid), realtime.identity_problem(m.relid) problem
         where problem is not null
       ) as problems,
       array(select realtime.reader_lacks(c.relation, c.columns)) as reader_lacks,
       k.oid is not null and c.columns is not null and exists (select from pg_roles r where r.rolname = 'realtime_reader')
         and has_any_column_privilege('realtime_reader', k.oid, 'select') and exists (
           select from unnest(c.columns) w (name)
           where not exists (select from pg_attribute a where a.attrelid = k.oid and a.attname = w.name
                             and has_column_privilege('realtime_reader', k.oid, a.attnum, 'select'))
         ) as columns_differ
from realtime.collections c
left join pg_class k on k.oid = c.relation
order by c.name

-- name: doctor_slots
-- Every slot of the cluster and the WAL it holds. ours: it can be one of this database's nodes'. holds_segments: WAL is kept in whole segments,
-- so that less than one costs nothing.
select slot_name::text as name, slot_type as type, database::text as database, active, coalesce(wal_status, '') as wal_status,
       pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint as retained,
       coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) >= pg_size_bytes(current_setting('wal_segment_size')), false) as holds_segments,
       slot_type = 'logical' and database = current_database() as ours
from pg_replication_slots
order by slot_name

-- name: server_with_slot
-- Which server has a slot of this database in use, if one does: its process and machine, null where it has no lease.
select n.pid, n.host
from pg_replication_slots s
left join realtime.nodes n on n.id = s.slot_name and n.lease_expires_at > now()
where s.slot_name = %s and s.active and s.database = current_database()

-- name: doctor_oldest_transaction
-- The transaction with an id that has run longest: a new slot must wait for it.
select pid, extract(epoch from now() - xact_start)::float8 as seconds
from pg_stat_activity
where backend_xid is not null and pid <> pg_backend_pid() and xact_start < now() - interval '1 minute'
order by xact_start limit 1

-- name: doctor_prepared
-- Prepared transactions. They have no process, survive a restart, and wait until they are ended by name.
select quote_literal(gid) as gid, owner::text, database::text, extract(epoch from now() - prepared)::float8 as seconds
from pg_prepared_xacts order by prepared

-- name: doctor_temporary_files
-- What bounds temporary files of this role (kilobytes; negative: nothing), and whether it may set that for a session.
select s.setting::bigint as kilobytes, has_parameter_privilege('temp_file_limit', 'set') as may_set, quote_ident(current_user) as role
from pg_settings s where s.name = 'temp_file_limit'

-- name: doctor_temporary_files_14
-- As doctor_temporary_files, before privileges for settings.
select s.setting::bigint as kilobytes, r.rolsuper as may_set, quote_ident(current_user) as role
from pg_settings s, pg_roles r where s.name = 'temp_file_limit' and r.rolname = current_user

-- name: doctor_try_plugin
-- Whether the output plugin can be loaded: a temporary slot, which goes with the connection.
select pg_create_logical_replication_slot('realtime_doctor_' || pg_backend_pid(), %s::text, true)

-- name: missing_tables
-- The tables of the schema realtime that are missing, as of the last numbered migration.
select array(
  select t.name from unnest(array['migrations', 'collections', 'nodes', 'slots', 'settings', 'channel_defaults', 'channels', 'messages',
    'messages_default', 'commits', 'expired', 'dropped_days', 'message_ids', 'connections', 'presence', 'last_seen', 'routes',
    'preferences', 'kicks', 'occupancy', 'epochs', 'server_roles', 'content_policies', 'rules', 'rule_failures',
    'api_keys', 'sessions', 'node_stats', 'node_channels', 'node_queries', 'node_loads', 'moves', 'changed_identities',
    'made_grants', 'alert_rules', 'alerts', 'alert_notices', 'alert_pending', 'lost_nodes',
    'usage_totals', 'usage_users', 'usage_channels', 'usage_countries', 'usage_nodes', 'usage_salts']) t (name)
  where not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'realtime' and c.relname = t.name)
) as names

-- name: server_identity
-- Identifies a server and database: two connections to the same one get the same row.
select current_database()::text, extract(epoch from pg_postmaster_start_time())::text, pg_is_in_recovery(), current_setting('port')

-- name: idle_backends
-- Which of these backends have nothing to do, or are gone. The state is null for a role that may not see it.
select p.pid from unnest(%(pids)s::int[]) p(pid) left join pg_stat_activity a on a.pid = p.pid
where a.pid is null or a.state like 'idle%%'

-- name: demo_seed_lock
-- One seeder at a time.
select pg_advisory_xact_lock(hashtext('bunbase realtime demo'))

-- name: demo_before
-- Where the WAL stands before a statement runs.
select pg_current_wal_insert_lsn()::text as position

-- name: demo_before_commit
-- Nothing of this transaction's commit record is written yet, so the commit lies at this position or later.
select pg_current_wal_insert_lsn()::text as position, pg_current_xact_id_if_assigned() is not null as wrote

-- name: demo_after_commit
-- The commit record lies before this position.
select pg_current_wal_insert_lsn()::text as position, clock_timestamp()::text as now
