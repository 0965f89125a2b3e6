-- name: plan_enter
-- Become the role that clients' queries run as, until the end of the transaction.
select current_setting('role'),
       set_config('role', 'realtime_reader', true),
       set_config('statement_timeout', %(statement_timeout)s, true),
       set_config('lock_timeout', %(lock_timeout)s, true),
       set_config('standard_conforming_strings', 'on', true)

-- name: plan_relations
-- What the names in FROM mean to the reader: oids, in order, null where there is no such relation.
select case
    when wanted.schema is null then to_regclass(quote_ident(wanted.name))::oid
    else (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = wanted.schema and c.relname = wanted.name)
  end
from rows from (unnest(%(schemas)s::text[]), unnest(%(names)s::text[])) with ordinality wanted(schema, name, position)
order by wanted.position

-- name: plan_search_path
-- The schemas in which the reader finds unqualified names.
select coalesce(string_agg(quote_ident(path.name), ', ' order by path.position), '')
from unnest(current_schemas(false)) with ordinality path(name, position)

-- name: plan_leave
-- Back to the connection's own role, with the reader's search path.
select set_config('role', %(owner)s, true), set_config('search_path', %(search_path)s, true)

-- name: plan_types
-- Names of parameter types, in order, as they can be written in a cast (modifier -1: bpchar, not character, which would be
-- character(1)); an array's element type and what separates elements.
select wanted.oid, format_type(wanted.oid, -1), case when t.typcategory = 'A' then t.typelem else 0::oid end,
       coalesce(e.typdelim, ',')::text
from unnest(%(types)s::oid[]) with ordinality wanted(oid, position)
join pg_type t on t.oid = wanted.oid
left join pg_type e on e.oid = t.typelem
order by wanted.position

-- name: plan_tree
-- The analysed query behind the temporary view, as Postgres stores it.
select r.ev_action::text, r.ev_class from pg_rewrite r where r.ev_class = 'pg_temp.realtime_plan'::regclass

-- name: plan_functions
-- Every function that the query can call: those named in it, those behind its operators and its aggregates, and those in the
-- constraints of the domains it casts to.
with recursive types(oid) as (
  select unnest(%(types)s::oid[])
  union
  select part.oid
  from types join pg_type t on t.oid = types.oid
  cross join lateral (
    select t.typbasetype union all select t.typelem
    union all select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    union all select r.rngsubtype from pg_range r where t.oid in (r.rngtypid, r.rngmultitypid)
  ) part(oid)
  where part.oid <> 0
),
checks as (
  select c.conbin::text as node from pg_constraint c where c.contypid in (select oid from types) and c.conbin is not null
),
direct(oid) as (
  select unnest(%(functions)s::oid[])
  union select o.oprcode from pg_operator o where o.oid = any (%(operators)s::oid[])
  union select found[1]::oid from checks, regexp_matches(checks.node, ':(?:funcid|opfuncid) (\d+)', 'g') found
  union select o.oprcode from checks, regexp_matches(checks.node, ':opno (\d+)', 'g') found
        join pg_operator o on o.oid = found[1]::oid
),
called(oid) as (
  select oid from direct
  union select part::oid from pg_aggregate a join direct d on d.oid = a.aggfnoid
        cross join unnest(array[aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn,
                                aggmtransfn, aggminvtransfn, aggmfinalfn]) part
)
select p.oid, p.proname, n.nspname = 'pg_catalog', p.provolatile::text, p.prosecdef, oidvectortypes(p.proargtypes),
       p.prokind = 'a'
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where p.oid in (select oid from called)
order by p.oid

-- name: plan_relation_names
-- Names of relations that the query reads.
select c.relname from pg_class c where c.oid = any (%(relations)s::oid[]) order by c.oid
