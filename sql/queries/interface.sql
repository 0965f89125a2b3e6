-- name: interface_relations
-- Tables and views of the schema realtime. A column: its type, whether it is never null, whether a row may come without it. Partitions
-- are not named by any query.
select c.relname::text as name, case c.relkind when 'v' then 'view' else 'table' end as kind,
       jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)
         || case when a.attnotnull then ' not null' else '' end
         || case when a.atthasdef or a.attidentity <> '' then ' default' else '' end) as columns,
       coalesce((select array_agg(k.attname::text order by k.attname) from pg_index i join pg_attribute k on k.attrelid = c.oid and k.attnum = any (i.indkey)
                 where i.indrelid = c.oid and i.indisprimary), '{}') as key
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where n.nspname = 'realtime' and c.relkind in ('r', 'p', 'v') and not c.relispartition
group by c.oid, c.relname, c.relkind
order by c.relname

-- name: interface_functions
-- Functions of the schema realtime. An argument: its name, its type, and whether a call may omit it. volatility: as in pg_proc.provolatile.
-- columns: those of a table that the function returns.
select p.proname::text as name,
       array(select concat_ws(' ', nullif(a.name, ''), format_type(a.type, null), case when a.place > p.pronargs - p.pronargdefaults then 'default' end)
             from unnest(p.proargtypes::oid[], p.proargnames[1:p.pronargs]) with ordinality a (type, name, place) order by a.place) as arguments,
       case when p.proretset then 'setof ' else '' end || format_type(p.prorettype, null) as returns,
       array(select concat_ws(' ', nullif(a.name, ''), format_type(a.type, null))
             from unnest(p.proallargtypes, p.proargmodes, p.proargnames) with ordinality a (type, mode, name, place)
             where a.mode in ('t', 'o') order by a.place) as columns,
       p.provolatile::text as volatility
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
where n.nspname = 'realtime' and p.prokind = 'f'
order by p.proname, p.oid::regprocedure::text

-- name: interface_offered
-- The names of the functions that applications may call: every role, or members of realtime_publisher.
select distinct p.proname::text as name
from pg_proc p
where p.pronamespace = 'realtime'::regnamespace and (has_function_privilege('public', p.oid, 'execute')
  or has_function_privilege('realtime_publisher', p.oid, 'execute'))
order by 1
