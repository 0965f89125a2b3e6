-- name: current_snapshot
-- What a query that starts now sees, a WAL position that is later than everything it sees, and the timeline of that WAL (the
-- first eight digits of a segment's name, hexadecimal).
select pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)

-- name: limit_temporary_files
-- For the session, where the role may set it; a lower limit of the role or the database stays. In megabytes.
select set_config('temp_file_limit', %(limit)s || 'MB', false) from pg_settings
where name = 'temp_file_limit' and (setting = '-1' or setting::bigint > %(limit)s::bigint * 1024)
  and has_parameter_privilege('temp_file_limit', 'set')

-- name: limit_temporary_files_14
-- As limit_temporary_files, before privileges for settings.
select set_config('temp_file_limit', %(limit)s || 'MB', false) from pg_settings
where name = 'temp_file_limit' and (setting = '-1' or setting::bigint > %(limit)s::bigint * 1024)
  and (select rolsuper from pg_roles where rolname = current_user)

-- name: end_a_transaction
-- By itself a transaction: it takes an id and ends, so that later snapshots reach beyond it.
select pg_current_xact_id()

-- name: flushed
-- Up to where the WAL is flushed; the walsender sends no further.
select pg_current_wal_flush_lsn()::text

-- name: begin_read
-- One snapshot for everything that follows.
begin isolation level repeatable read read only

-- name: begin_view
-- As begin_read, where a temporary view has to be made first.
begin isolation level repeatable read

-- name: show_view
-- Functions that reading the view calls run as realtime_reader; the view's columns are read with the rights of its owner.
grant select on pg_temp.realtime_rows to realtime_reader

-- name: view_columns
-- The tables and columns that the columns of the temporary view come from, in order (resorigtbl and resorigcol in primnodes.h).
select m[1]::bigint, m[2]::int
from pg_rewrite r cross join regexp_matches(r.ev_action::text, ':resorigtbl (\d+) :resorigcol (\d+)', 'g') m
where r.ev_class = 'pg_temp.realtime_rows'::regclass

-- name: only_read
-- The transaction writes nothing from now on.
set transaction read only

-- name: become_reader
-- Clients' queries run with the privileges of the exposed columns only, and so does everything that they call.
set local role realtime_reader

-- name: begin_claims
-- The claims that policies read, and policies themselves, until the end of the transaction; and the present role, to become it again.
select set_config(%(setting)s, %(claims)s, true), set_config('row_security', 'on', true), set_config('realtime.own_role', current_setting('role'), true)

-- name: fresh_plans
-- No plan of a function is from before these marks of policies.
select realtime.use_fresh_plans(%(meanings)s::jsonb)

-- name: set_each
-- Settings of this transaction.
select pg_catalog.set_config(s.name, s.value, true) from rows from (pg_catalog.unnest(%(names)s::pg_catalog.text[]), pg_catalog.unnest(%(values)s::pg_catalog.text[])) s (name, value)

-- name: names_mark
-- A text that changes with every relation of these names, its columns and privileges on them: each change makes a new row, with another xmin.
select md5(coalesce(string_agg(format('%%s %%s %%s', c.oid, c.xmin, (
         select string_agg(format('%%s %%s', a.attnum, a.xmin), ',' order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0)),
         ';' order by c.oid), ''))
from pg_class c where c.relname = any (%(names)s::name[])

-- name: leave_reader
-- Become the role again that the session had before.
select set_config('role', current_setting('realtime.own_role'), true)

-- name: path_of_role_here
-- Resolve names by the search_path of the role or the database until the end of the transaction: clients' SQL is read so.
select realtime.use_path_of_role()

-- name: read_for_each
-- A statement as a served role with each of many claims, by the search_path that is set.
select *
from realtime.read_for_each(%(role)s, %(statement)s, %(params)s, %(relation)s, %(name)s, %(columns)s, %(attnums)s,
                            pg_catalog.current_setting('search_path'), %(setting)s, %(claims)s, %(rows)s, %(bytes)s, %(milliseconds)s)

-- name: granted_columns
-- The columns of a table that realtime_reader may select, by number: these include all exposed ones.
select a.attnum
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.oid = %(table)s and (
  exists (select from aclexplode(c.relacl) x where x.grantee = to_regrole('realtime_reader') and x.privilege_type = 'SELECT')
  or exists (select from aclexplode(a.attacl) x where x.grantee = to_regrole('realtime_reader') and x.privilege_type = 'SELECT'))

-- name: rewritten
-- Whether one of these tables (oids), or a partition of one, was truncated or rewritten after the snapshot of the transaction was taken: what was
-- read of it is of no one moment (docs: "Caveats" of concurrency control). pg_relation_filenode() answers as of now, the catalog as of the snapshot.
with recursive part (oid) as (
  select unnest(%(tables)s::oid[])
  union
  select i.inhrelid from part p join pg_inherits i on i.inhparent = p.oid
)
select exists (
  select from part p join pg_class c on c.oid = p.oid
  where c.relkind in ('r', 'm') and c.relfilenode is distinct from pg_relation_filenode(c.oid))

-- name: end_read
-- End the read: nothing was written, and settings that a function made for the session are undone.
rollback

-- name: limit_read
-- How long a read may take, in this transaction.
select set_config('statement_timeout', %(statement)s, true)

-- name: lock_holders
-- The sessions that hold, or wait for, a lock of one of these modes on these tables (oids or names; null: all tables of the schema realtime) or a partition of
-- theirs. Role and state of the sessions of others are not always to be seen. A prepared transaction has no process.
with recursive part (root, oid) as (
  select t.oid::oid, t.oid::oid from unnest(%(tables)s::regclass[]) t (oid)
  union
  select c.oid, c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where %(tables)s::regclass[] is null and n.nspname = 'realtime' and c.relkind in ('r', 'p') and not c.relispartition
  union
  select p.root, i.inhrelid from part p join pg_inherits i on i.inhparent = p.oid
)
select distinct on (p.root, a.pid) p.root::bigint as root, n.nspname || '.' || c.relname as name, a.pid, '' as role,
       coalesce(nullif(a.application_name, ''), 'no application name') as application, coalesce(a.state, '') as state,
       a.xact_start as since, extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds
from part p
join pg_locks l on l.locktype = 'relation' and l.relation = p.oid and l.mode = any (%(modes)s::text[])
  and l.database = (select d.oid from pg_database d where d.datname = current_database())
join pg_class c on c.oid = p.oid
join pg_namespace n on n.oid = c.relnamespace
left join pg_stat_activity a on a.pid = l.pid
where a.pid is distinct from pg_backend_pid()
order by p.root, a.pid, l.granted desc, p.oid <> p.root
