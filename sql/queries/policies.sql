-- name: catalog_policies
-- Of each exposed table with row-level security what decides which rows are seen (realtime.policy_sources), its mark (as policies_mark), and the
-- names in texts of functions. Only read where a role is served: it waits for locks on these tables.
select p.oid, p.name, p.sources, concat(p.mark, realtime.meanings_mark(p.words)), p.words::text[]
from (
select c.oid::bigint, c.oid::regclass::text as name, coalesce(jsonb_agg(jsonb_build_object(
  'kind', s.kind, 'oid', s.object::bigint, 'name', s.name, 'source', concat_ws(E'\n', s.source, pg_get_expr(f.proargdefaults, 0)), 'language', s.language, 'volatility', s.volatility,
  'problem', s.problem, 'published', s.published)), '[]') as sources, realtime.policies_mark(
  array_agg(s.object) filter (where s.kind = 'table'), array_agg(s.object) filter (where s.kind in ('function', 'view'))) as mark,
  realtime.words_in(string_agg(f.prosrc, E'\n') filter (where s.language in ('sql', 'plpgsql') and f.prosqlbody is null)) as words
from realtime.collections k join pg_class c on c.oid = k.relation and c.relrowsecurity
cross join lateral realtime.policy_sources(c.oid::regclass) s
left join pg_proc f on s.kind = 'function' and f.oid = s.object  -- defaults stand in no call: the planner puts them in
group by c.oid) p

-- name: changing_functions
-- The built-in functions that may return something else for the same arguments.
select distinct proname::text from pg_proc where oid < 16384 and provolatile <> 'i'

-- name: catalog_policy_code
-- Of what decides which rows are seen the node trees. And of a function whose body is a text: that text, the types that it gives and takes, the
-- types of one's own whose names are in it, and those of the columns with a name that it has before %%TYPE. "zoned": there are columns of type timetz;
-- "claims": there are domains that read settings, as the claims are.
select 'policy', p.oid::bigint, coalesce(p.polqual::text, ''), null::jsonb from pg_policy p where p.oid = any (%(policies)s::oid[])
union all
select 'view', r.ev_class::bigint, r.ev_action::text, null from pg_rewrite r where r.ev_class = any (%(views)s::oid[]) and r.rulename = '_RETURN'
union all
select 'function', f.oid::bigint, concat_ws(' ', f.proargdefaults::text, f.prosqlbody::text),
       case when f.prosqlbody is null and f.prokind <> 'a' then jsonb_build_object(
         'text', f.prosrc, 'language', l.lanname,
         'gives', (
           select jsonb_agg(g.type::bigint)
           from (select f.prorettype union
                 select a.type from unnest(f.proallargtypes, f.proargmodes) a (type, mode) where a.mode in ('o', 'b', 't')) g (type)),
         'takes', (select coalesce(jsonb_agg(a.type::bigint), '[]') from unnest(f.proargtypes::oid[]) a (type)),
         'named', (
           select coalesce(jsonb_agg(jsonb_build_array(t.oid::bigint, t.typname, coalesce(c.relkind <> 'c', false))), '[]')
           from pg_type t left join pg_class c on c.oid = t.typrelid
           where t.oid >= 16384 and (position(lower(t.typname) in lower(f.prosrc)) > 0
                                     or position(lower(replace(t.typname, '"', '""')) in lower(f.prosrc)) > 0)),
         'columns', (
           select coalesce(jsonb_agg(distinct a.atttypid::bigint), '[]')
           from regexp_matches(lower(f.prosrc), '(?:"([^"]+)"|([^\s."%%]+))\s*%%\s*type\M', 'g') m
           join pg_attribute a on lower(a.attname) = coalesce(m[1], m[2]) and a.attnum > 0)) end
from pg_proc f join pg_language l on l.oid = f.prolang where f.oid = any (%(functions)s::oid[])
union all  -- the types as which text is read without their name: by casts of one's own that read it (docs: CREATE CAST)
select 'cast', c.casttarget::bigint, '', null from pg_cast c where c.oid >= 16384 and c.castmethod = 'i' and c.castcontext <> 'e'
union all
select 'zoned', 0, '', null
where case when exists (select from pg_proc f where f.oid = any (%(functions)s::oid[]) and f.prosrc ~* '\m(zone|local)\M') then exists (
  select from pg_attribute a where a.atttypid in ('timetz'::regtype, 'timetz[]'::regtype) and a.attrelid >= 16384 and a.attnum > 0) end
union all
select 'claims', 0, '', null
where exists (select from pg_constraint k where k.contypid <> 0 and k.conbin::text ~ ':funcid (2077|3294) ')  -- current_setting()

-- name: catalog_timed_types
-- Those of these types whose values consist of "times", among others: composites, arrays, ranges and domains, at any depth. A domain with a check
-- that reads text as a time, or asks for the time, counts as one.
with recursive parts(type, oid) as (
  select wanted, wanted from unnest(%(types)s::oid[]) wanted
  union
  select parts.type, part.oid
  from parts join pg_type t on t.oid = parts.oid
  cross join lateral (
    select t.typbasetype union all select t.typelem
    union all select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    union all select r.rngsubtype from pg_range r where t.oid in (r.rngtypid, r.rngmultitypid)
  ) part(oid)
  where part.oid <> 0
)
select distinct parts.type::bigint from parts
where parts.oid = any (%(times)s::oid[]) or exists (
  select from pg_constraint k
  where k.contypid = parts.oid
    and k.conbin::text ~ concat('\{SQLVALUEFUNCTION |:funcid (274|1299|1386|2037|2047|2059|2647|2648|2649|6336) |:resulttype (',
                                array_to_string(%(times)s::oid[], '|'), ') :resultcollid '))

-- name: catalog_policies_for
-- Of each exposed table with row-level security, for each served role: the policies that it reads under; null where it is exempt from them
-- (check_enable_rls() in rls.c). own_rows: what they call may read rows of the table itself.
select c.oid::bigint, s.name, realtime.policies_read_own_rows(c.oid) as own_rows,
       case when not (r.rolbypassrls or r.rolsuper) and (c.relforcerowsecurity or not pg_has_role(s.role, c.relowner, 'usage')) then (
         select coalesce(jsonb_agg(jsonb_build_object('oid', p.policy::bigint, 'permissive', p.permissive, 'condition', p.condition) order by p.policy), '[]')
         from realtime.policies_for(c.oid, s.role) p) end
from realtime.collections k join pg_class c on c.oid = k.relation and c.relrowsecurity
cross join realtime.served_roles() s join pg_roles r on r.oid = s.role

-- name: policies_mark
-- The mark of policies and functions, and of what the names in their texts mean, as they are now.
select concat(realtime.policies_mark(%(tables)s::oid[], %(code)s::oid[]), realtime.meanings_mark(%(names)s::name[]))
