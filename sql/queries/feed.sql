-- name: feed_server
-- What the server must offer before a feed can start: version, settings, the publication, the schema realtime. The timeline is that of the
-- WAL it writes (the first eight digits of a segment's name, hexadecimal), null on a standby.
select current_setting('server_version_num')::int as version,
       current_setting('wal_level') as wal_level,
       current_setting('server_encoding') as encoding,
       (select setting::int from pg_settings where name = 'wal_sender_timeout') as wal_sender_timeout_ms,
       pg_is_in_recovery() as in_recovery,
       exists (select from pg_event_trigger where evtname = 'realtime_ddl_end' and evtenabled <> 'D') as announces_ddl,
       (select oid::bigint from pg_publication where pubname = %(publication)s) as publication,
       exists (select from pg_tables where schemaname = 'realtime' and tablename = 'slots') as migrated,
       case when not pg_is_in_recovery() then left(pg_walfile_name(pg_current_wal_lsn()), 8) end as timeline,
       current_database()::text as database

-- name: feed_sender_facts
-- What may be the reason when a replication connection is refused. The role, as in SQL, is the one that logged in.
select quote_ident(r.rolname) as role, r.rolreplication or r.rolsuper as has_attribute,
       (select count(*) from pg_stat_replication)::int as senders,
       current_setting('max_wal_senders')::int as max_senders
from pg_roles r where r.rolname = session_user

-- name: feed_publication
-- The publication's identity: another one under the same name has missed changes.
select oid::bigint as oid from pg_publication where pubname = %(publication)s

-- name: feed_position
-- Where the server writes its WAL now, as a number.
select (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint as position

-- name: feed_note_timelines
-- Keep where earlier timelines have ended (see realtime.note_timelines()).
select realtime.note_timelines(%(ended)s::text::jsonb)

-- name: feed_processes
-- When the postmaster started, and its auxiliary processes (checkpointer, WAL writer and others: they have no role). When one backend crashes
-- the postmaster stays and all other processes are started anew. Every role may see these columns.
select pg_postmaster_start_time() as started,
       array(select pid from pg_stat_activity where usesysid is null and datid is null) as pids

-- name: feed_heartbeat
-- Write a record into the WAL, so that the slot can advance while exposed tables are idle.
select pg_logical_emit_message(false, %(prefix)s, '')

-- name: feed_relation
-- A table of the stream by name: the exposed or published table it belongs to (itself or its partition root), with the columns the stream
-- carries. What policies look at is published and need not be exposed.
with named as (
  select c.oid, c.relreplident
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = %(schema)s and c.relname = %(table)s
), found as (
  select named.oid as table_oid, named.relreplident = 'f' as table_full, a.relid as oid
  from named
  cross join lateral (
    select p.relid, p.ordinality from pg_partition_ancestors(named.oid) with ordinality p (relid, ordinality)
    union all select named.oid, 0 where not exists (select from pg_partition_ancestors(named.oid))
  ) a
  where exists (select from realtime.collections k where k.relation = a.relid)
     or realtime.is_published(a.relid)
  order by a.ordinality desc
  limit 1
)
select c.oid::bigint as oid, n.nspname::text as schema, c.relname::text as name, c.relreplident::text as replica_identity,
       e.table_oid <> c.oid as partition, e.table_full as full,
       array_agg(a.attname::text order by a.attnum) as names,
       array_agg(a.atttypid::bigint order by a.attnum) as types,
       array_agg(a.atttypmod order by a.attnum) as mods,
       array_agg(a.attnum::int order by a.attnum) as attnums,
       array_agg(c.relreplident = 'f' or coalesce(a.attnum = any (i.indkey::int2[]), false) order by a.attnum) as keys
from found e
join pg_class c on c.oid = e.oid
join pg_namespace n on n.oid = c.relnamespace
left join pg_index i on i.indrelid = c.oid
  and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end
left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated <> 'v'
group by c.oid, n.nspname, c.relname, c.relreplident, e.table_oid, e.table_full

-- name: feed_slot
-- One slot. invalidation_reason and failover came with PostgreSQL 17 and are read in a way that does not need the columns.
select s.slot_name::text as name, s.plugin::text as plugin, s.database::text as database, s.slot_type,
       s.active_pid, coalesce(s.wal_status, '') as wal_status,
       to_jsonb(s) ->> 'invalidation_reason' as invalidation_reason,
       coalesce((to_jsonb(s) ->> 'failover')::boolean, false) as failover,
       (s.confirmed_flush_lsn - '0/0'::pg_lsn)::bigint as confirmed,
       (s.restart_lsn - '0/0'::pg_lsn)::bigint as restart,
       (select format('process %%s (%%s, %%s)', a.pid, coalesce(nullif(a.application_name, ''), 'no application name'),
                      coalesce(host(a.client_addr), 'local'))
        from pg_stat_activity a where a.pid = s.active_pid) as user
from pg_replication_slots s where s.slot_name = %(slot)s

-- name: feed_slot_figures
-- One row, also without the slot. A slot whose WAL was removed has no restart_lsn; what it kept until then is not known any more.
select case when s.slot_name is null then 'missing' else coalesce(s.wal_status, 'reserved') end as state,
       coalesce(pg_current_wal_lsn() - s.confirmed_flush_lsn, 0)::bigint as lag,
       coalesce(pg_current_wal_lsn() - s.restart_lsn, 0)::bigint as retained,
       s.safe_wal_size as safe,
       current_setting('server_version') as server
from (select) one left join pg_replication_slots s on s.slot_name = %(slot)s

-- name: feed_absent_standbys
-- Physical slots that the walsender of the slot waits for if it is a failover slot, and that no standby uses (docs: "synchronized_standby_slots"); null:
-- none. Without a slot: of any failover slot of the database. The setting came with PostgreSQL 17.
select string_agg(x.name, ', ' order by x.name) as slots
from (select btrim(n, ' "') as name from unnest(string_to_array(current_setting('synchronized_standby_slots', true), ',')) n) x
where x.name <> ''
  and not exists (select from pg_replication_slots s where s.slot_name = x.name and s.slot_type = 'physical' and s.active)
  and exists (select from pg_replication_slots s where (to_jsonb(s) ->> 'failover')::boolean and s.database = current_database()
                and s.slot_name = coalesce(%(slot)s, s.slot_name::text))

-- name: feed_slot_drop
-- Refused by PostgreSQL while the slot is active.
select pg_drop_replication_slot(%(slot)s)

-- name: feed_blockers
-- The sessions that a backend (one that creates a slot) waits for. A prepared transaction has no process (pg_blocking_pids gives 0): it is found by
-- the transaction id that the backend waits for.
select a.pid, null::text as gid, coalesce(a.usename::text, '') as role, a.datname::text as database,
       coalesce(nullif(a.application_name, ''), 'no application name') as application,
       a.state, extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds
from unnest(pg_blocking_pids(%(pid)s)) b (pid) join pg_stat_activity a on a.pid = b.pid
union all
select null::int, quote_literal(x.gid), x.owner::text, x.database::text, null, null, extract(epoch from clock_timestamp() - x.prepared)::float8
from pg_locks l join pg_prepared_xacts x on x.transaction = l.transactionid
where l.pid = %(pid)s and not l.granted
order by seconds desc

-- name: feed_walsender_waits
-- Whether a walsender waits, for WAL or for the other end of its connection: then it would answer, or has tried to send. One that
-- decodes a large transaction reads nothing meanwhile.
select a.wait_event_type in ('Activity', 'Client') as waits from pg_stat_activity a where a.pid = %(pid)s

-- name: feed_terminate
-- End a walsender that this node itself left behind, and wait up to two seconds until it has ended.
select pg_terminate_backend(%(pid)s, 2000)

-- name: feed_slots
-- Every slot of the cluster, physical ones too. Lag in seconds: for an active slot what its consumer last reported (0 when it has
-- confirmed everything), for an inactive one since when it is inactive (PostgreSQL 17 and later), else unknown.
select s.slot_name::text as name, s.slot_type as type, s.plugin::text as plugin, s.database::text as database, s.active,
       case when s.temporary then 'temporary' when (to_jsonb(s) ->> 'synced')::boolean and pg_is_in_recovery() then 'synced'
            when (to_jsonb(s) ->> 'failover')::boolean then 'failover' end as kept,
       s.slot_type = 'logical' and s.database = current_database() as here,
       (here.lsn - s.confirmed_flush_lsn)::bigint as lag_bytes,
       case when s.active then coalesce(extract(epoch from r.flush_lag), 0)
            else extract(epoch from clock_timestamp() - (to_jsonb(s) ->> 'inactive_since')::timestamptz)
       end::float8 as lag_seconds,
       (here.lsn - s.restart_lsn)::bigint as retained_bytes,
       coalesce(s.wal_status, case when s.restart_lsn is null and s.slot_type = 'physical' then '' else 'lost' end) as wal_status,
       to_jsonb(s) ->> 'invalidation_reason' as invalidation_reason
from pg_replication_slots s
cross join (select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as lsn) here
left join pg_stat_replication r on r.pid = s.active_pid
order by s.slot_name

-- name: feed_node_register
-- This node is alive (or was stopped: schema_version is null), and the slot is its own; made: it has a new row. No row, and nothing is written, if the slot belongs to another node.
-- A slot that was this node's before is left to be dropped. The node's row is locked before the slot's, as it is where a node is removed.
with locked as materialized (
  select n.id from realtime.nodes n where n.id = %(node)s for no key update
), claimed as (
  insert into realtime.slots as s (name, node, ephemeral)
  select %(slot)s, %(node)s, %(ephemeral)s from (select count(*) from locked) one
  on conflict (name) do update set node = excluded.node, ephemeral = excluded.ephemeral
  where s.node is null or s.node = excluded.node
  returning s.name
), released as (
  update realtime.slots s set node = null from claimed where s.node = %(node)s and s.name <> claimed.name
)
insert into realtime.nodes as n (id, host, pid, schema_version, renewed_at, lease_expires_at)
select %(node)s, %(host)s, %(pid)s, %(schema_version)s, now.at, now.at + make_interval(secs => %(lease)s)
from claimed, (select clock_timestamp() as at) now
on conflict (id) do update
  set host = excluded.host, pid = excluded.pid, schema_version = excluded.schema_version,
      started_at = case when (n.host, n.pid) is distinct from (excluded.host, excluded.pid) then now() else n.started_at end,
      renewed_at = excluded.renewed_at, lease_expires_at = excluded.lease_expires_at
returning xmax = 0 as made

-- name: feed_worker_register
-- As feed_node_register, for a worker that follows the slot of a relay: it has none of its own. (slot and ephemeral are the relay's.)
insert into realtime.nodes as n (id, host, pid, schema_version, renewed_at, lease_expires_at)
select %(node)s, %(host)s, %(pid)s, %(schema_version)s, now.at, now.at + make_interval(secs => %(lease)s)
from (select clock_timestamp() as at) now
on conflict (id) do update
  set host = excluded.host, pid = excluded.pid, schema_version = excluded.schema_version,
      started_at = case when (n.host, n.pid) is distinct from (excluded.host, excluded.pid) then now() else n.started_at end,
      renewed_at = excluded.renewed_at, lease_expires_at = excluded.lease_expires_at
returning xmax = 0 as made

-- name: relay_forget_connections
-- The relay is no node that clients connect to: what has its name is of a server of one process that was killed.
delete from realtime.connections where node_id = %(node)s

-- name: feed_node_owner
-- Which other node owns a slot.
select n.id, coalesce(n.host, 'unknown host') as host, n.lease_expires_at < clock_timestamp() as expired
from realtime.slots s join realtime.nodes n on n.id = s.node
where s.name = %(slot)s and n.id <> %(node)s

-- name: feed_left_slots
-- Other nodes whose lease has run out, with their slots, and slots whose node is gone. active: the slot, or another one of that node, is in use.
select n.id, s.name::text as slot, p.slot_name is not null as has_slot, bool_or(coalesce(p.active, false)) over (partition by n.id) as active
from realtime.nodes n
left join realtime.slots s on s.node = n.id
left join pg_replication_slots p on p.slot_name = s.name and p.database = current_database()
where n.lease_expires_at < clock_timestamp() and n.id <> %(node)s
union all
select null, s.name::text, p.slot_name is not null, coalesce(p.active, false)
from realtime.slots s
left join pg_replication_slots p on p.slot_name = s.name and p.database = current_database()
where s.node is null and s.name <> %(slot)s

-- name: feed_node_remove
-- A node is gone, and its slots are dropped or not its own. Its lease is checked again: it may have come back.
with removed as (
  delete from realtime.nodes where id = %(node)s and (%(always)s or lease_expires_at < clock_timestamp()) returning id
)
delete from realtime.slots where node in (select id from removed)

-- name: feed_slot_remove
-- A slot without a node was dropped.
delete from realtime.slots where name = %(slot)s and node is null

-- name: messages_oid
-- The table of messages; 0: it is not there.
select coalesce(to_regclass('realtime.messages')::oid::bigint, 0) as oid

-- name: database_identity
-- What distinguishes this database from all others, of this server and of others. A copy of the server's files has the same.
select c.system_identifier::text as system, d.oid::bigint as oid, d.datname::text as name
from pg_control_system() c, pg_database d where d.datname = current_database()

-- name: relay_try_lead
-- Take the lock of the relay that leads, for this session. leader, pid and silent: of the session that has it, if that is another one; seconds since its last statement.
with key as (
  select hashtextextended('realtime.relay.' || %(slot)s, 0) as id
), tried as materialized (
  select id, pg_try_advisory_lock(id) as leads from key
)
select t.leads, h.pid, h.silent, h.leader
from tried t
left join lateral (
  select l.pid, extract(epoch from clock_timestamp() - a.state_change)::float8 as silent,
         substr(a.application_name, length('realtime relay ') + 1) as leader
  from pg_locks l
  join pg_stat_activity a on a.pid = l.pid
  where not t.leads and l.locktype = 'advisory' and l.granted and l.objsubid = 1 and a.datname = current_database()
    and l.database = a.datid and l.classid = ((t.id >> 32) & 4294967295)::oid and l.objid = (t.id & 4294967295)::oid
) h on true

-- name: relay_beat
-- The relay that leads is alive: its session shows when its last statement ended.
select 1 as beat

-- name: relay_depose
-- End the sessions of a relay that gives no sign of life: that of the lock, and that of the slot.
select pg_terminate_backend(%(pid)s, 2000) as lock,
       (select pg_terminate_backend(s.active_pid, 2000) from pg_replication_slots s where s.slot_name = %(slot)s and s.active_pid is not null) as stream
