-- name: migration_lock
-- One migrator at a time; the others wait and then find nothing to do.
select pg_advisory_xact_lock(hashtext('bunbase realtime migrate'))

-- name: migration_lock_holders
-- The session that migrates: it holds migration_lock. A lock on a number of 32 bits has it in objid.
select l.pid, coalesce(a.usename::text, '') as role, coalesce(nullif(a.application_name, ''), 'no application name') as application,
       coalesce(a.state, 'state not visible') as state, extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds
from pg_locks l left join pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.database = (select oid from pg_database where datname = current_database())
  and l.objid = (hashtext('bunbase realtime migrate')::bigint & 4294967295)::oid and l.objsubid = 1
order by l.pid

-- name: migration_lock_timeout
-- How long a statement that follows waits for a lock, in milliseconds.
select set_config('lock_timeout', %s::text, true)

-- name: migration_table
-- The table of applied migrations: with the version of the service that applied them, and for sql/schema its own version. An existing empty
-- schema is used; one with other objects is refused before. Takes no lock if nothing differs.
do $$
begin
  if not exists (select from pg_catalog.pg_namespace where nspname = 'realtime') then
    create schema realtime;
  end if;
  if not exists (select from pg_catalog.pg_tables where schemaname = 'realtime' and tablename = 'migrations') then
    create table realtime.migrations (
      name text primary key,
      checksum text not null,
      applied_at timestamptz not null default now()
    );
  end if;
  if not exists (select from pg_catalog.pg_attribute
                 where attrelid = 'realtime.migrations'::regclass and attname = 'applied_by' and not attisdropped) then
    alter table realtime.migrations add column version integer, add column applied_by text;
    comment on column realtime.migrations.version is 'of sql/schema: which functions these are; a later one replaces them, an earlier one refuses';
    comment on column realtime.migrations.applied_by is 'the version of the service that did it; null: one before versions were written down';
  end if;
  if not exists (select from pg_catalog.pg_attribute
                 where attrelid = 'realtime.migrations'::regclass and attname = 'serves_from' and not attisdropped) then
    alter table realtime.migrations add column serves_from integer;
    comment on column realtime.migrations.serves_from is
      'of sql/schema: the oldest version whose nodes these functions and tables serve; null: only those of the same version';
  end if;
end
$$

-- name: migration_state
-- The owner of the schema realtime, and whether this role may read it. From the catalogs: that needs no privilege. Without realtime.migrations
-- it is recognised by a function, or by three tables, whose names another product would hardly have.
select n.oid is not null as exists,
       coalesce(m.columns @> array['name', 'checksum', 'applied_at'], false)
         or exists (select from pg_proc p where p.pronamespace = n.oid and p.proname = 'expose_table')
         or (select count(*) >= 3 from pg_class c where c.relnamespace = n.oid and c.relkind in ('r', 'p') and c.relname = any (
               '{collections,nodes,commits,dropped_days,message_ids,last_seen,epochs,server_roles,channel_defaults}')) as ours,
       coalesce(has_schema_privilege(n.oid, 'usage') and coalesce(has_table_privilege(m.oid, 'select'), true), false) as readable,
       coalesce(pg_get_userbyid(n.nspowner)::text, '') as owner,
       (select string_agg(quote_ident(o.name), ', ' order by o.name) from (
          select c.relname as name from pg_class c where c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
          union all select p.proname from pg_proc p where p.pronamespace = n.oid
          union all select t.typname from pg_type t where t.typnamespace = n.oid and t.typrelid = 0 and t.typelem = 0
          order by 1 limit 5) o (name)) as objects,
       current_database()::text as database, quote_ident(current_user) as role
from (select) one
left join pg_namespace n on n.nspname = 'realtime'
left join lateral (
  select c.oid, array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns
  from pg_class c where c.relnamespace = n.oid and c.relname = 'migrations' and c.relkind = 'r'
) m on true

-- name: publication_set_aside
-- The first migration creates the publication. An existing one, created by hand or kept when the schema was dropped, gets another name
-- until then, so that it keeps its tables, and its place in the streams that read it.
do $$
declare
  publication record;
begin
  select pg_get_userbyid(p.pubowner) as owner, pg_has_role(current_user, p.pubowner, 'usage') as usable into publication
  from pg_publication p where p.pubname = 'bunbase_realtime';
  if not found then
    return;
  elsif not publication.usable then
    raise exception 'the publication bunbase_realtime exists already and belongs to %', quote_ident(publication.owner)
      using errcode = 'insufficient_privilege',
            hint = format('As %1$I or a superuser: ALTER PUBLICATION bunbase_realtime OWNER TO %2$I; to keep it, or DROP PUBLICATION bunbase_realtime;',
                          publication.owner, current_user);
  end if;
  alter publication bunbase_realtime rename to bunbase_realtime_before;
end
$$

-- name: publication_put_back
-- Replace the new publication by the one that was set aside; sql/upkeep/20_publication.sql completes it.
do $$
begin
  if exists (select from pg_publication p where p.pubname = 'bunbase_realtime_before') then
    drop publication bunbase_realtime;
    alter publication bunbase_realtime_before rename to bunbase_realtime;
    raise info 'took up the publication bunbase_realtime, which was there already, with its tables';
  end if;
end
$$

-- name: schema_objects
-- Functions, views and triggers of the schema realtime, each as often as there is one of that name.
select 'function' as kind, p.proname::text as name from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'realtime'
union all
select 'view', c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'realtime' and c.relkind = 'v'
union all
select 'trigger', t.tgname::text
from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'realtime' and c.relkind = 'v' and not t.tgisinternal

-- name: function_privileges
-- Who may execute which function of the schema realtime, as JSON for function_privileges_lost. A grantee 0 is PUBLIC.
select coalesce(jsonb_agg(jsonb_build_object('oid', p.oid::bigint, 'name', p.proname, 'arguments', array(select unnest(p.proargtypes)::bigint), 'grants', (
         select coalesce(jsonb_agg(jsonb_build_object('grantee', a.grantee::bigint, 'grantable', a.is_grantable)), '[]')
         from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee <> p.proowner))), '[]')::text as functions
from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'realtime'

-- name: function_privileges_lost
-- Statements that give a function which was made since function_privileges was asked the grants of its predecessor: the function of the same
-- name that is gone, of several the one with most leading arguments in common. A function that PUBLIC could not execute stays closed to PUBLIC.
with before as (
  select * from jsonb_to_recordset(%(functions)s::jsonb) b (oid bigint, name text, arguments bigint[], grants jsonb)
),
made as (
  select p.oid, p.proname::text as name, array(select unnest(p.proargtypes)::bigint) as arguments, p.proowner, p.proacl from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where n.nspname = 'realtime' and pg_has_role(p.proowner, 'usage') and p.oid::bigint not in (select b.oid from before b)
),
succeeding as (
  select m.oid::regprocedure as signature, coalesce(m.proacl, acldefault('f', m.proowner)) as privileges, m.proowner, predecessor.grants
  from made m cross join lateral (
    select b.grants from before b
    where b.name = m.name and not exists (select from pg_proc p where p.oid::bigint = b.oid)
    order by (select count(*) from generate_series(1, cardinality(b.arguments)) i
              where b.arguments[1:i] = m.arguments[1:i]) desc, cardinality(b.arguments), b.oid
    limit 1
  ) predecessor
)
select format('REVOKE EXECUTE ON FUNCTION %%s FROM PUBLIC', s.signature) as statement from succeeding s
where not s.grants @> '[{"grantee": 0}]' and exists (select from aclexplode(s.privileges) a where a.grantee = 0)
union all
select format('GRANT EXECUTE ON FUNCTION %%s TO %%s', s.signature, case g.grantee when 0 then 'PUBLIC' else quote_ident(r.rolname) end)
         || case when g.grantable then ' WITH GRANT OPTION' else '' end
from succeeding s cross join jsonb_to_recordset(s.grants) g (grantee bigint, grantable boolean) left join pg_roles r on r.oid = g.grantee
where (r.oid is not null or g.grantee = 0) and r.oid is distinct from s.proowner
  and not exists (select from aclexplode(s.privileges) a where a.grantee = g.grantee and a.is_grantable >= g.grantable)
order by 1

-- name: migrations_done
-- Applied migrations and the checksums of their files, in a way that does not need the columns that came later.
select name, checksum, (to_jsonb(m) ->> 'version')::int as version, to_jsonb(m) ->> 'applied_by' as applied_by,
       (to_jsonb(m) ->> 'serves_from')::int as serves_from, applied_at
from realtime.migrations m order by applied_at, name

-- name: migration_record
-- Record that a migration was applied, or sql/schema replaced; the checksum shows whether a later version changed it.
insert into realtime.migrations (name, checksum, version, applied_by, serves_from) values (%s, %s, %s, %s, %s)
on conflict (name) do update
  set checksum = excluded.checksum, version = excluded.version, applied_by = excluded.applied_by, serves_from = excluded.serves_from,
      applied_at = now()

-- name: migration_left_behind
-- Running nodes of a version that the functions to come do not serve. A lease without a version is that of a node that was stopped.
select n.id, coalesce(n.host, 'unknown host') as host, n.schema_version, n.lease_expires_at::text as until
from realtime.nodes n
where n.schema_version < %s and n.lease_expires_at > clock_timestamp()
order by n.id

-- name: migration_reader_lost
-- What clients' SQL would miss: the role itself, or the privileges on an exposed table (a dump of the database has no roles, and a restore
-- without them no privileges).
select case when r.oid is null then 'the role realtime_reader does not exist'
            else 'realtime_reader has no privileges on ' || string_agg(c.relation::regclass::text, ', ' order by c.name) end as problem
from realtime.collections c
join pg_class t on t.oid = c.relation
left join pg_roles r on r.rolname = 'realtime_reader'
where r.oid is null or not has_schema_privilege(r.oid, t.relnamespace, 'usage') or not has_any_column_privilege(r.oid, t.oid, 'select')
group by r.oid

-- name: roles_missing
-- Roles of this service that the cluster does not have.
select w.name from (values ('realtime_publisher'), ('realtime_reader')) w (name)
where not exists (select from pg_roles r where r.rolname = w.name) order by 1

-- name: wide_publications
-- Foreign publications that include tables of the schema realtime without naming them (by schema: since PostgreSQL 15).
select p.pubname::text as name, p.puballtables as all_tables from pg_publication p
where p.pubname <> 'bunbase_realtime' and (p.puballtables or exists (
  select from pg_publication_namespace s join pg_namespace n on n.oid = s.pnnspid where s.pnpubid = p.oid and n.nspname = 'realtime'))
order by 1

-- name: wide_publications_14
-- The same for PostgreSQL 14.
select p.pubname::text as name, p.puballtables as all_tables from pg_publication p
where p.pubname <> 'bunbase_realtime' and p.puballtables order by 1

-- name: lock_blockers
-- The sessions that hold the lock that a backend waits for, and the kind of lock. Pid 0 is a prepared transaction. Of other roles' sessions a role
-- sees little.
select b.pid, coalesce(a.usename::text, '') as role, coalesce(nullif(a.application_name, ''), 'no application name') as application,
       coalesce(a.state, 'state not visible') as state, extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds,
       (select l.locktype from pg_locks l where l.pid = %(pid)s and not l.granted limit 1) as waits_for
from (select distinct unnest(pg_blocking_pids(%(pid)s::int)) as pid) b left join pg_stat_activity a on a.pid = b.pid
order by a.xact_start nulls last, b.pid

-- name: backend_idle
-- For how many seconds a backend has been idle; no row: it has ended.
select case when a.state like 'idle%%' then extract(epoch from clock_timestamp() - a.state_change)::float8 else 0 end as idle
from pg_stat_activity a where a.pid = %s

-- name: cancel_backend
-- End the statement of a backend.
select pg_cancel_backend(%s)
