-- name: plan_enter
-- Become the role that clients' queries run as, until the end of the transaction. Timeouts: of statements, and for locks.
select pg_catalog.current_setting('role'),
       pg_catalog.set_config('role', 'realtime_reader', true),
       pg_catalog.set_config('statement_timeout', $1, true),
       pg_catalog.set_config('lock_timeout', $2, true),
       pg_catalog.set_config('standard_conforming_strings', 'on', true),
       pg_catalog.set_config('row_security', 'on', true)  -- no row is read, so that policies have no effect; off is an error where there are any

-- name: plan_callables
-- A digest of everything not built in that a call can mean: functions, operators, casts, operator classes, domains and the like.
-- Every change of a row makes a new one, with another xmin. What Postgres has built in only superusers change.
select encode(sha256(convert_to(coalesce(string_agg(part, ' ' order by part), ''), 'UTF8')), 'hex')
from (
  select 'f' || oid || ':' || xmin from pg_proc where oid >= 16384
  union all select 'o' || oid || ':' || xmin from pg_operator where oid >= 16384
  union all select 'c' || oid || ':' || xmin from pg_cast where oid >= 16384
  union all select 'm' || oid || ':' || xmin from pg_amop where oid >= 16384
  union all select 'p' || oid || ':' || xmin from pg_amproc where oid >= 16384
  union all select 't' || oid || ':' || xmin from pg_type where oid >= 16384 and typtype in ('d', 'r', 'm')
  union all select 'k' || oid || ':' || xmin from pg_constraint where contypid > 0 and oid >= 16384
  union all select 'n' || oid || ':' || xmin from pg_namespace where oid >= 16384
) parts (part)

-- name: plan_relations
-- What the names in FROM mean to the reader: oids, in order, null where there is no such relation.
select case
    when wanted.schema is null then (
      select c.oid from unnest(%(path)s::text[]) with ordinality path(schema, position)
      join pg_namespace n on n.nspname = path.schema join pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
      order by path.position limit 1)
    else (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = wanted.schema and c.relname = wanted.name)
  end
from rows from (unnest(%(schemas)s::text[]), unnest(%(names)s::text[])) with ordinality wanted(schema, name, position)
order by wanted.position

-- name: plan_unreadable
-- Whether the reader may not read one of these columns (0: the whole row; null: none, which takes any column), or not call a function.
select exists (
    select from rows from (unnest(%(relations)s::oid[]), unnest(%(columns)s::int2[])) r (oid, attnum)
    where not coalesce(case when r.attnum is null then has_any_column_privilege('realtime_reader', r.oid, 'select')
                            when r.attnum = 0 then not exists (
                              select from pg_attribute a where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
                                and not has_column_privilege('realtime_reader', r.oid, a.attnum, 'select'))
                            else has_column_privilege('realtime_reader', r.oid, r.attnum, 'select') end, false))
  or exists (select from unnest(%(functions)s::oid[]) f (oid) where not coalesce(has_function_privilege('realtime_reader', f.oid, 'execute'), false))

-- name: plan_columns
-- All columns of these relations in order, and whether the reader may read them.
select a.attrelid, a.attname, has_column_privilege('realtime_reader', a.attrelid, a.attnum, 'select')
from pg_attribute a
where a.attrelid = any (%(relations)s::oid[]) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum

-- name: plan_hidden_types
-- The types among these that clients may not name. Given by oid, or by name as the reader finds them. Clients may name built-in
-- types, those of extensions, the types of columns that all of "readers" may read and all these consist of, the row types of
-- exposed tables without a column that one of them may not read, types on which the reader was granted USAGE by name, and arrays of all these.
with recursive exposed(oid) as (
  select unnest(%(exposed)s::oid[])
),
columns(oid) as (
  select a.atttypid from exposed join pg_attribute a on a.attrelid = exposed.oid
  where a.attnum > 0 and not a.attisdropped
    and not exists (select from unnest(%(readers)s::name[]) r (name) where not has_column_privilege(r.name, a.attrelid, a.attnum, 'select'))
),
shown(oid) as (
  select oid from columns
  union
  select part.oid
  from shown join pg_type t on t.oid = shown.oid
  cross join lateral (
    select t.typbasetype union all select t.typelem
    union all select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    union all select part from pg_range r cross join unnest(array[r.rngtypid, r.rngmultitypid, r.rngsubtype]) part
              where t.oid in (r.rngtypid, r.rngmultitypid)
  ) part(oid)
  where part.oid <> 0
),
named(schema, name, oid) as (
  select wanted.schema, wanted.name, t.oid
  from rows from (unnest(%(schemas)s::text[]), unnest(%(names)s::text[])) wanted(schema, name)
  join pg_type t on t.typname = wanted.name join pg_namespace n on n.oid = t.typnamespace
  where case when wanted.schema is not null then n.nspname = wanted.schema else t.oid = (
    select first.oid from unnest(%(path)s::text[]) with ordinality path(schema, position)
    join pg_namespace o on o.nspname = path.schema join pg_type first on first.typnamespace = o.oid and first.typname = wanted.name
    order by path.position limit 1) end
  union all
  select null, null, unnest(%(types)s::oid[])
)
select named.schema, named.name, t.oid, t.typname, (select k.catcode::text from pg_get_keywords() k where k.word = t.typname),
       exists (select from pg_proc p where p.proname = t.typname and p.prorettype <> t.oid), t.typrelid <> 0
from named join pg_type t on t.oid = named.oid
join pg_type core on core.oid = case when t.typcategory = 'A' and t.typelem <> 0 then t.typelem else t.oid end
left join pg_class c on c.oid = core.typrelid and c.relkind <> 'c'
where not (
  t.oid in (select oid from shown) or core.oid in (select oid from shown)
  or (core.oid < 16384 and c.oid is null)  -- the row types of catalogs are not for clients
  or exists (select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = core.oid and d.deptype = 'e')
  or exists (select from aclexplode(core.typacl) g where g.grantee = 'realtime_reader'::regrole)
  or (c.oid is not null and c.oid in (select oid from exposed) and not exists (
        select from pg_attribute a cross join unnest(%(readers)s::name[]) r (name)
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and not has_column_privilege(r.name, c.oid, a.attnum, 'select')))
)
order by t.typname

-- name: plan_named_functions
-- The functions that the names can mean to the reader, and all types that they take and give.
select wanted.schema, wanted.name, p.proargtypes::oid[] || p.prorettype || p.proallargtypes
from rows from (unnest(%(schemas)s::text[]), unnest(%(names)s::text[])) wanted(schema, name)
join pg_proc p on p.proname = wanted.name join pg_namespace n on n.oid = p.pronamespace
where case when wanted.schema is not null then n.nspname = wanted.schema else p.oid = (
  select first.oid from unnest(%(path)s::text[]) with ordinality path(schema, position)
  join pg_namespace o on o.nspname = path.schema
  join pg_proc first on first.pronamespace = o.oid and first.proname = wanted.name and first.proargtypes = p.proargtypes
  order by path.position limit 1) end

-- name: plan_named_operators
-- The operators of these names, and the types that they take and give.
select o.oprname, array_remove(array[o.oprleft, o.oprright, o.oprresult], 0::oid)
from pg_operator o where o.oprname = any (%(names)s::text[])

-- name: plan_function_types
-- The types that those of the functions take and give which are not built in.
select distinct type
from pg_proc p cross join unnest(p.proargtypes::oid[] || p.prorettype || p.proallargtypes) type
where p.oid = any (%(functions)s::oid[]) and p.oid >= 16384

-- name: plan_schemas
-- The schemas in which names are found, in order; for relations and types the temporary ones and pg_catalog come first, unless they are named.
select pg_catalog.current_schemas(true)::pg_catalog.text[]

-- name: plan_path
-- Find names in these schemas until this is called again.
select pg_catalog.set_config('search_path', $1, true)

-- name: plan_leave
-- Return to the connection's own role.
select pg_catalog.set_config('role', $1, true)

-- name: plan_values
-- The one row of a statement, an array, as realtime_reader, in the schemas that are set.
select found
from realtime.read_as_reader(%(sql)s, %(params)s::pg_catalog.text[], false, null, null, null, null) as (found pg_catalog.text[])

-- name: plan_explain
-- Plan the statement as realtime_reader, in the schemas that are set: what planning calls cannot leave that role.
select line
from realtime.read_as_reader(%(sql)s, %(params)s::pg_catalog.text[], false, null, null, null, null, true) as (line pg_catalog.text)

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
-- Every function that can be called by what refers to these functions, operators and types: the functions themselves, those
-- behind the operators, the parts of aggregates, and what comparing, sorting, hashing, constructing and printing values of
-- types that are not built in calls (operator classes, canonical functions of ranges, casts to json). Of each, besides what
-- it is: the default arguments (as a node tree), the stored body, or a statement that has PostgreSQL analyse the body.
-- The planner puts calls of its own in: NOT (a op b) becomes the negator, sides change places by the commutator, min and max
-- become a sort, and columns of set operations and results of SQL functions are cast among the types "cast". (Estimators and
-- support functions of the planner take internal arguments: they are in C, installed by an administrator of the server.)
-- What PostgreSQL cannot analyse can do anything, also SET ROLE NONE, so only superusers and the owner of this schema vouch for it.
-- GRANT by a superuser is recorded as one by the function's owner (docs: GRANT), so that has to be one of these. A member of an
-- extension counts only if one of these owns it: the owner of a trusted extension can add functions to it (docs: ALTER EXTENSION).
-- A body that is stored as text is read anew at each call, under the settings of the caller: only trusted owners' bodies are
-- analysed, and only without settings of their own.
with recursive types(oid) as (
  select unnest(%(types)s::oid[] || %(cast)s::oid[])
  union
  select part.oid
  from types join pg_type t on t.oid = types.oid
  cross join lateral (
    select t.typbasetype union all select t.typelem
    union all select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    union all select r.rngsubtype from pg_range r where t.oid in (r.rngtypid, r.rngmultitypid)
    union all select r.rngtypid from pg_range r where t.oid = r.rngmultitypid
  ) part(oid)
  where part.oid <> 0
),
own(oid) as (select oid from types where oid >= 16384),
operators(oid) as (
  select oid from (
    select unnest(%(operators)s::oid[])
    union select a.aggsortop from pg_aggregate a where a.aggfnoid = any (%(functions)s::oid[])
  ) named(oid)
  union
  select other.oid from operators join pg_operator o on o.oid = operators.oid
  cross join unnest(array[o.oprcom, o.oprnegate]) other(oid) where other.oid >= 16384
),
cast_among(oid) as (  -- with the types that a node of a tree can have without naming them: arrays, bool, int, xml
  select oid from types union select t.typarray from types join pg_type t on t.oid = types.oid
  union select unnest(array['bool'::regtype, 'int'::regtype, 'xml'::regtype])::oid
),
compared(oid) as (  -- the types whose operator classes serve these types
  select oid from types union select oid from pg_type where typtype = 'p'
  union select c.casttarget from pg_cast c where c.castmethod = 'b' and c.castsource in (select oid from types)
),
families(oid) as (
  select c.opcfamily from pg_opclass c where c.opcdefault and c.opcintype in (select oid from compared)
  union select a.amopfamily from pg_amop a where a.amopopr in (select oid from operators)
  union select c.opcfamily from pg_range r join pg_opclass c on c.oid = r.rngsubopc where r.rngtypid in (select oid from own)
),
direct(oid) as (
  select unnest(%(functions)s::oid[])
  union select o.oprcode from pg_operator o where o.oid in (select oid from operators)
  union select p.amproc from pg_amproc p where p.amprocfamily in (select oid from families) and p.amproc::oid >= 16384
  union select o.oprcode from pg_amop a join pg_operator o on o.oid = a.amopopr
        where a.amopfamily in (select oid from families) and o.oprcode::oid >= 16384
  union select part from pg_range r cross join unnest(array[r.rngcanonical, r.rngsubdiff]) part
        where r.rngtypid in (select oid from own) and part::oid >= 16384
  union select c.castfunc from pg_cast c
        where cardinality(%(cast)s::oid[]) > 0 and c.castcontext <> 'e' and c.castfunc >= 16384
          and c.castsource in (select oid from cast_among) and c.casttarget in (select oid from cast_among)
  union select c.castfunc from pg_cast c
        where c.castsource in (select oid from own) and c.casttarget in ('json'::regtype, 'jsonb'::regtype)
),
trusted(oid) as (
  select r.oid from pg_roles r where r.rolsuper union select n.nspowner from pg_namespace n where n.nspname = 'realtime'
),
called(oid) as (
  select oid from direct
  union select part::oid from pg_aggregate a join direct d on d.oid = a.aggfnoid
        cross join unnest(array[aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn,
                                aggmtransfn, aggminvtransfn, aggmfinalfn]) part
)
select p.oid, p.proname, n.nspname = 'pg_catalog' and p.oid < 16384, p.provolatile::text, p.prosecdef,
       oidvectortypes(p.proargtypes), p.prokind = 'a', l.lanname,
       exists (select from aclexplode(p.proacl) g
               where g.grantee = 'realtime_reader'::regrole and g.grantor in (select oid from trusted))
         or p.proowner in (select oid from trusted)
            and exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'),
       coalesce(p.proargdefaults::text, ''), coalesce(p.prosqlbody::text, ''),
       case when l.lanname = 'sql' and p.prosqlbody is null and p.oid >= 16384 and p.proconfig is null
                 and p.proowner in (select oid from trusted) then
         'create function pg_temp.realtime_body('
         || coalesce((select string_agg(coalesce(quote_ident(nullif(p.proargnames[argument.place], '')), '') || ' '
                                        || format_type(argument.type, null), ', ' order by argument.place)
                      from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality argument(type, place)
                      where p.proargmodes is null or p.proargmodes[argument.place] in ('i', 'b', 'v')), '')
         || E') returns setof record language sql begin atomic\n' || p.prosrc || E'\n; end' end,
       p.proconfig is not null,
       array(select unnest(p.proargtypes::oid[] || p.prorettype || p.proallargtypes))::oid[]
from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_language l on l.oid = p.prolang
where p.oid in (select oid from called)
order by p.oid

-- name: plan_parts
-- These types and all that values of them consist of, with the constraints of the domains among them as node trees.
with recursive types(oid) as (
  select unnest(%(types)s::oid[])
  union
  select part.oid
  from types join pg_type t on t.oid = types.oid
  cross join lateral (
    select t.typbasetype union all select t.typelem
    union all select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
    union all select part from pg_range r cross join unnest(array[r.rngsubtype, r.rngtypid]) part
              where t.oid in (r.rngtypid, r.rngmultitypid)
  ) part(oid)
  where part.oid <> 0
)
select types.oid, c.conbin::text from types left join pg_constraint c on c.contypid = types.oid

-- name: plan_read_types
-- The types as which PostgreSQL may read a string of the statement while it resolves names: those named in it, those of the
-- columns of its tables that all of "readers" may read, and those that functions and operators of one's own named in it take or give.
-- The row types of tables with hidden columns are not among the named ones unless "hidden_rows".
with functions as (
  select p.* from pg_proc p where p.oid >= 16384
    and (p.proname = any (%(names)s::text[]) or p.oid in (select o.oprcode from pg_operator o where position(o.oprname::text in %(sql)s) > 0))
)
select t.oid from pg_type t left join pg_type e on e.oid = t.typelem
where (t.typname = any (%(names)s::text[]) or e.typname = any (%(names)s::text[])) and (%(hidden_rows)s or not exists (
  select from pg_attribute a join pg_class c on c.oid = a.attrelid and c.relkind <> 'c' cross join unnest(%(readers)s::name[]) r (name)
  where c.oid in (t.typrelid, e.typrelid) and a.attnum > 0 and not a.attisdropped
    and not has_column_privilege(r.name, a.attrelid, a.attnum, 'select')))
union
select a.atttypid from pg_attribute a
where a.attrelid = any (%(relations)s::oid[]) and a.attnum > 0 and not a.attisdropped
  and not exists (select from unnest(%(readers)s::name[]) r (name) where not has_column_privilege(r.name, a.attrelid, a.attnum, 'select'))
union
select unnest(f.proargtypes::oid[] || f.prorettype || f.proallargtypes) from functions f

-- name: plan_unchecked
-- Do not run the validator of functions.
select set_config('check_function_bodies', 'off', true)

-- name: plan_body
-- The analysed body of the function that stands for one that the query can call.
select p.prosqlbody::text from pg_proc p
where p.pronamespace = pg_my_temp_schema() and p.proname = 'realtime_body'

-- name: plan_relation_names
-- Names of relations that the query reads.
select c.relname from pg_class c where c.oid = any (%(relations)s::oid[]) order by c.oid

-- name: reader_lacks
-- The GRANTs that realtime_reader lacks to read exposed tables (null: all of them).
select distinct g.statement
from realtime.collections k cross join lateral realtime.reader_lacks(k.relation, k.columns) g (statement)
where k.relation = any (%(tables)s::oid[]) or %(tables)s::oid[] is null
order by 1
