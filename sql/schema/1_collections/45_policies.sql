-- What the policies of a table read. Rows that a client may see change with all of it.

create or replace function realtime.mentions(source text, name text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
  -- A name that needs quotes is searched as it is, and as it is written between quotes: found too often, never missed. What a text has may
  -- be longer than names can be: PostgreSQL cuts it off.
  select case when name ~ '^[a-z_][a-z0-9_$]*$'
              then lower(source) ~ ('(^|[^a-z0-9_$])' || replace(name, '$', '\$') || case when length(name) < 63 then '($|[^a-z0-9_$])' else '' end)
              else position(lower(name) in lower(source)) > 0 or position(lower(replace(name, '"', '""')) in lower(source)) > 0 end
$$;
comment on function realtime.mentions(text, text) is 'Whether the text of a function has a name in it, also as a word of something else';

create or replace function realtime.words_in(source text) returns name[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
  -- Each name that mentions() finds in a text: words, and what is between quotes. A quote alone stands for all names that have
  -- one. Longer names are cut off, as PostgreSQL does it. Folded are the letters of ASCII alone (downcase_identifier() in scansup.c).
  select coalesce(array_agg(distinct w.word::name order by w.word::name), '{}')
  from (
    select (regexp_matches(lower(source collate "C"), '[^\x01-\x23\x25-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]+', 'g'))[1] as word
    union all
    select unnest(string_to_array(source, '"')) where position('"' in source) > 0
    union all
    select '"' where position('""' in source) > 0
  ) w
  where w.word <> '' and w.word !~ '^[0-9]+$'
$$;
comment on function realtime.words_in(text) is 'The names that the text of a function may have in it';

create or replace function realtime.unseen_in(routine oid) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select case
    when l.lanname not in ('sql', 'plpgsql', 'c', 'internal') then format('%s is written in %s', f.oid::regprocedure, l.lanname)
    when l.lanname in ('c', 'internal') and f.provolatile = 'v' then format('%s is volatile, and no SQL', f.oid::regprocedure)
    when l.lanname = 'plpgsql' and realtime.mentions(f.prosrc, 'execute') then format('%s runs SQL that it makes itself', f.oid::regprocedure)
    when position('u&"' in lower(f.prosrc)) > 0 then format('%s has names with Unicode escapes', f.oid::regprocedure)
    when l.lanname in ('sql', 'plpgsql') and f.prosrc ~* '(query_to|cursor_to|table_to|schema_to|database_to|ts_stat|ts_rewrite)'
      then format('%s calls a function that runs a text', f.oid::regprocedure)
  end
  from pg_proc f join pg_language l on l.oid = f.prolang where f.oid = routine
$$;
comment on function realtime.unseen_in(oid) is 'Why the tables that a function reads cannot be found in its text; null: they can';

create or replace function realtime.may_read(routine oid) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (
    select from pg_proc f join pg_language l on l.oid = f.prolang
    where f.oid = routine and f.oid >= 16384 and (l.lanname not in ('c', 'internal') or f.provolatile = 'v'))
$$;
comment on function realtime.may_read(oid) is
  'Whether a function that no text names, of an operator, cast, type or aggregate, may read tables: one in C that is not volatile does not';

create or replace function realtime.type_edges(type oid) returns table (to_class oid, to_object oid)
language sql stable rows 3 set search_path = pg_catalog, pg_temp as $$
  select 'pg_type'::regclass::oid, e.oid
  from pg_type t cross join lateral (
    select t.typbasetype union select t.typelem union select a.atttypid from pg_attribute a where a.attrelid = t.typrelid and a.attnum > 0
  ) e (oid)
  where t.oid = type and e.oid >= 16384
  union all
  select 'pg_constraint'::regclass, k.oid from pg_constraint k where k.contypid = type
  union all
  select 'pg_proc'::regclass, e.oid
  from (
    select c.castfunc from pg_cast c where type in (c.castsource, c.casttarget)
    union select o.oprcode from pg_operator o where type in (o.oprleft, o.oprright)
    union select m.amproc from pg_amproc m where type in (m.amproclefttype, m.amprocrighttype)
  ) e (oid)
  where e.oid >= 16384 and realtime.may_read(e.oid)
$$;
comment on function realtime.type_edges(oid) is 'What a value of a type may call without a name in a text: casts, operators, checks of a domain. Its input and output functions are in C (docs: CREATE TYPE)';

create or replace function realtime.aggregate_functions(aggregate oid) returns setof oid
language sql stable rows 3 set search_path = pg_catalog, pg_temp as $$
  select e.oid
  from pg_aggregate a cross join lateral unnest(
    array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::oid[]) e (oid)
  where a.aggfnoid = aggregate and e.oid >= 16384 and realtime.may_read(e.oid)
$$;
comment on function realtime.aggregate_functions(oid) is 'The functions of an aggregate that may read tables; none for any other function';

create or replace function realtime.text_edges(routine oid) returns table (to_class oid, to_object oid)
language sql stable rows 3 set search_path = pg_catalog, pg_temp as $$
  -- Looked up by the names in the text: databases have thousands of tables and functions, and event triggers ask this while DDL holds its
  -- locks. A single-byte encoding may have letters beyond ASCII folded, too. What is PostgreSQL's own reads no tables.
  with body as materialized (
    select f.oid, f.prosrc, realtime.words_in(f.prosrc)
           || case when lower(f.prosrc) = lower(f.prosrc collate "C") then '{}' else realtime.words_in(lower(f.prosrc)) end as words
    from pg_proc f join pg_language l on l.oid = f.prolang and l.lanname in ('sql', 'plpgsql')
    where f.oid = routine and f.prosqlbody is null
  ), mentioned as materialized (
    select 'pg_class'::regclass::oid as class, c.oid as object, false as aggregate
    from body b cross join lateral (
      select c.oid, c.relkind, c.relnamespace from pg_class c where c.relname = any (b.words)
      union
      select c.oid, c.relkind, c.relnamespace from pg_class c where '"' = any (b.words) and position('"' in c.relname) > 0) c
    join pg_namespace n on n.oid = c.relnamespace and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
    union all
    select 'pg_proc'::regclass, g.oid, g.prokind = 'a'
    from body b cross join lateral (
      select g.oid, g.prokind from pg_proc g where g.proname = any (b.words)
      union
      select g.oid, g.prokind from pg_proc g where '"' = any (b.words) and position('"' in g.proname) > 0) g
    where g.oid >= 16384 and g.oid <> routine
    union all
    select 'pg_type'::regclass, t.oid, false
    from body b cross join lateral (
      select t.oid, t.typcategory from pg_type t where t.typname = any (b.words)
      union
      select t.oid, t.typcategory from pg_type t where '"' = any (b.words) and position('"' in t.typname) > 0) t
    where t.oid >= 16384 and t.typcategory <> 'A'
  )
  select m.class, m.object from mentioned m where not m.aggregate
  union all
  select m.class, e.oid from mentioned m cross join lateral realtime.aggregate_functions(m.object) e (oid) where m.aggregate
  union all
  select 'pg_proc'::regclass, o.oprcode
  from body b join pg_operator o on o.oid >= 16384 and position(o.oprname in b.prosrc) > 0 and realtime.may_read(o.oprcode)
  union all  -- casts between types of PostgreSQL's own need no name that is not in every text
  select 'pg_proc'::regclass, c.castfunc from body b
  join pg_cast c on c.castfunc >= 16384 and greatest(c.castsource, c.casttarget) < 16384 and realtime.may_read(c.castfunc)
$$;
comment on function realtime.text_edges(oid) is
  'What a function whose body is a text may read or call: tables, functions, aggregates, operators and types with a name that is in the text';

create or replace function realtime.policy_edges(class oid, object oid) returns table (to_class oid, to_object oid)
language sql stable rows 3 set search_path = pg_catalog, pg_temp as $$
  -- From a table to its policies (those for SELECT), from these by pg_depend to tables, views and functions, and so on. Of a function whose
  -- body is a text pg_depend has nothing: what has a name that is in the text counts.
  select 'pg_policy'::regclass::oid, p.oid
  from pg_policy p join pg_class c on c.oid = p.polrelid and c.relrowsecurity
  where policy_edges.class = 'pg_class'::regclass and p.polrelid = policy_edges.object and p.polcmd in ('r', '*')
  union all
  select policy_edges.class, i.inhrelid from pg_inherits i where policy_edges.class = 'pg_class'::regclass and i.inhparent = policy_edges.object
  union all
  select policy_edges.class, i.inhparent from pg_inherits i where policy_edges.class = 'pg_class'::regclass and i.inhrelid = policy_edges.object
  union all
  select 'pg_rewrite'::regclass, r.oid from pg_rewrite r where policy_edges.class = 'pg_class'::regclass and r.ev_class = policy_edges.object
  union all
  select d.refclassid, d.refobjid
  from pg_depend d
  where policy_edges.class in ('pg_policy'::regclass, 'pg_rewrite'::regclass, 'pg_proc'::regclass, 'pg_constraint'::regclass)
    and d.classid = policy_edges.class and d.objid = policy_edges.object
    and d.refclassid in ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass)
  union all
  select 'pg_proc'::regclass, o.oprcode::oid from pg_operator o where policy_edges.class = 'pg_operator'::regclass and o.oid = policy_edges.object
  union all
  select d.refclassid, d.refobjid
  from pg_depend d
  where policy_edges.class in ('pg_class'::regclass, 'pg_policy'::regclass, 'pg_rewrite'::regclass, 'pg_proc'::regclass)
    and d.classid = policy_edges.class and d.objid = policy_edges.object and d.refclassid = 'pg_type'::regclass
  union all
  select 'pg_proc'::regclass, a.oid from realtime.aggregate_functions(policy_edges.object) a (oid) where policy_edges.class = 'pg_proc'::regclass
  union all
  select t.to_class, t.to_object from realtime.type_edges(policy_edges.object) t where policy_edges.class = 'pg_type'::regclass
  union all
  select t.to_class, t.to_object from realtime.text_edges(policy_edges.object) t where policy_edges.class = 'pg_proc'::regclass
$$;
comment on function realtime.policy_edges(oid, oid) is 'What a table, view, policy, function or operator (class: pg_class …) reads or calls itself, as far as policies are concerned';

create or replace function realtime.policy_sources(relation regclass)
returns table (kind text, object oid, name text, source text, language text, volatility "char", problem text, published boolean)
language sql stable rows 10 set search_path = pg_catalog, pg_temp as $$
  with recursive walk (class, object) as (
    select 'pg_class'::regclass::oid, policy_sources.relation::oid
    union
    select e.to_class, e.to_object from walk w cross join lateral realtime.policy_edges(w.class, w.object) e
  )
  select 'table', c.oid, c.oid::regclass::text, null, null, null,
         case when c.relkind = 'f' then format('%s is a foreign table, whose changes are not in the WAL', c.oid::regclass)
              when c.relkind = 'm' then format('%s is a materialized view, whose changes are not in the WAL', c.oid::regclass)
              when c.relpersistence <> 'p' then format('%s is unlogged or temporary: its changes are not in the WAL', c.oid::regclass) end,
         c.relispartition or c.relkind not in ('r', 'p') or realtime.is_published(c.oid) and not exists (
           select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid and p.pubname = 'bunbase_realtime'
           where r.prrelid = c.oid and to_jsonb(r) ->> 'prqual' is not null)
  from walk w join pg_class c on c.oid = w.object
  where w.class = 'pg_class'::regclass and c.relkind in ('r', 'p', 'f', 'm')
  union all
  select 'function', f.oid, f.oid::regprocedure::text, coalesce(pg_get_function_sqlbody(f.oid), f.prosrc), l.lanname, f.provolatile,
         realtime.unseen_in(f.oid), true
  from walk w join pg_proc f on f.oid = w.object join pg_language l on l.oid = f.prolang where w.class = 'pg_proc'::regclass and f.oid >= 16384
  union all
  select 'view', c.oid, c.oid::regclass::text, concat(pg_get_viewdef(c.oid), ' -- ', c.reloptions), null, null,
         case when pg_get_viewdef(c.oid) ~* '(query_to|cursor_to|table_to|schema_to|database_to|ts_stat|ts_rewrite)'
              then format('the view %s calls a function that runs a text', c.oid::regclass) end, true
  from walk w join pg_class c on c.oid = w.object where w.class = 'pg_class'::regclass and c.relkind = 'v'
  union all
  select 'policy', p.oid, format('%I on %s', p.polname, p.polrelid::regclass), pg_get_expr(p.polqual, p.polrelid), null, null,
         case when pg_get_expr(p.polqual, p.polrelid) ~* '(query_to|cursor_to|table_to|schema_to|database_to|ts_stat|ts_rewrite)'
              then format('policy %I on %s calls a function that runs a text', p.polname, p.polrelid::regclass) end, true
  from walk w join pg_policy p on p.oid = w.object where w.class = 'pg_policy'::regclass
$$;
comment on function realtime.policy_sources(regclass) is
  'The tables, functions, views and policies that decide which rows of a table with row-level security are seen. problem: why changes of what it reads '
  'cannot be followed; published: whether its changes are in the publication. It waits for locks on tables with policies';

create or replace function realtime.policies_read_own_rows(relation regclass) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- By way of a function, a view or the policies of another table. A sub-select in a policy over its own table is not found: pg_depend names
  -- the table of a policy in any case.
  with recursive walk (class, object) as (
    select e.to_class, e.to_object
    from pg_policy p cross join lateral realtime.policy_edges('pg_policy'::regclass, p.oid) e
    where p.polrelid = relation and p.polcmd in ('r', '*') and e.to_object <> relation
    union
    select e.to_class, e.to_object from walk w cross join lateral realtime.policy_edges(w.class, w.object) e
  )
  select exists (select from walk w where w.class = 'pg_class'::regclass and w.object = relation)
$$;
comment on function realtime.policies_read_own_rows(regclass) is
  'Whether what the policies of a table call or look at may read rows of the table itself: then each change of it can change which rows are seen';

create or replace function realtime.policies_for(relation oid, role oid)
returns table (policy oid, permissive boolean, condition text)
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- As get_policies_for_relation() and check_role_for_policy() in rowsecurity.c; a policy without USING adds nothing.
  select p.oid, p.polpermissive, pg_get_expr(p.polqual, p.polrelid)
  from pg_policy p
  where p.polrelid = relation and p.polcmd in ('r', '*') and p.polqual is not null
    and (0 = any (p.polroles) or exists (select from unnest(p.polroles) r (oid) where pg_has_role(policies_for.role, r.oid, 'usage')))
$$;
comment on function realtime.policies_for(oid, oid) is 'The policies for SELECT that a role reads a table under, unless it is exempt from them';

create or replace function realtime.policies_mark(tables oid[], functions oid[]) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- A view and a function of the same oid are both looked at.
  select md5(concat_ws(';',
    (select string_agg(format('%s %s', p.oid, p.xmin), ',' order by p.oid) from pg_policy p where p.polrelid = any (tables)),
    '', (select string_agg(format('%s %s', f.oid, f.xmin), ',' order by f.oid) from pg_proc f where f.oid = any (functions)),
    '', (select string_agg(format('%s %s %s %s', w.oid, w.xmin, c.reloptions, c.relowner), ',' order by w.oid)
         from pg_rewrite w join pg_class c on c.oid = w.ev_class where w.ev_class = any (functions)),
    '', (select string_agg(format('%s %s %s %s', c.oid, c.relrowsecurity, c.relforcerowsecurity, c.relowner), ',' order by c.oid) from pg_class c where c.oid = any (tables)),
    '', (select string_agg(format('%s %s', i.inhrelid, i.xmin), ',' order by i.inhrelid) from pg_inherits i where i.inhparent = any (tables))))
$$;
comment on function realtime.policies_mark(oid[], oid[]) is
  'A text that changes with the policies and owners of these tables, with what is a child or partition of them, and with these functions and views';

create or replace function realtime.publish_policy_tables(relation regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  found record;
begin
  if not exists (select from pg_class c where c.oid = relation and c.relrowsecurity) then
    return;
  end if;
  for found in select s.* from realtime.policy_sources(relation) s loop
    if found.problem is not null then
      raise exception 'policies of % depend on what live queries cannot follow: %', relation, found.problem using errcode = 'feature_not_supported',
        hint = 'Write the condition of the policy in SQL over tables, or in a function in SQL or PL/pgSQL without EXECUTE.';
    elsif found.kind = 'table' and found.object <> relation and not found.published then
      if realtime.identity_problem(found.object) is not null then
        raise exception 'policies of % read %, which cannot be published: %', relation, found.name, realtime.identity_problem(found.object)
          using errcode = 'object_not_in_prerequisite_state',
                hint = format('Add a primary key to %s, or ALTER TABLE %s REPLICA IDENTITY FULL.', found.name, found.name);
      end if;
      perform realtime.publish_table(found.object);
    end if;
    if found.kind = 'table' and found.object <> relation and (select c.relkind = 'p' from pg_class c where c.oid = found.object) then
      perform realtime.watch_partitions(found.object);
    end if;
  end loop;
end
$$;
comment on function realtime.publish_policy_tables(regclass) is
  'Adds the tables that the policies of a table read to the publication. Raises an error for what cannot be followed';

create or replace function realtime.policies_look_at(relation oid, source oid) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- Waits for no lock: the texts of policies are not looked at.
  with recursive walk (class, object) as (
    select 'pg_class'::regclass::oid, relation
    union
    select e.to_class, e.to_object from walk w cross join lateral realtime.policy_edges(w.class, w.object) e
  )
  select exists (select from walk w where w.class = 'pg_class'::regclass and w.object = source)
$$;
comment on function realtime.policies_look_at(oid, oid) is 'Whether the policies of a table with row-level security may read another table';

create or replace function realtime.follow_children(changed oid[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  child record;
begin
  for child in
    with recursive down (oid) as (  -- ATTACH PARTITION is reported as ALTER TABLE of the partitioned table
      select unnest(changed)
      union
      select i.inhrelid from down d join pg_inherits i on i.inhparent = d.oid
    ), found as (
      select distinct case when c.relispartition then pg_partition_root(c.oid)::oid else c.oid end as oid
      from down d join pg_class c on c.oid = d.oid and c.relkind in ('r', 'p') and c.relpersistence = 'p'
      where c.relispartition or exists (select from pg_inherits i where c.oid in (i.inhrelid, i.inhparent))
    )
    select c.oid::regclass as name, c.relkind = 'p' as partitioned
    from found f join pg_class c on c.oid = f.oid
    where case when c.relkind = 'p' then exists (select from realtime.unwatched_partitions(c.oid))
               else exists (select from pg_inherits i where i.inhrelid = c.oid) and not realtime.is_published(c.oid) end
      and exists (
        select from realtime.collections k join pg_class t on t.oid = k.relation and t.relrowsecurity and t.oid <> c.oid
        where realtime.policies_look_at(t.oid, c.oid))
  loop
    begin
      if child.partitioned then
        perform realtime.watch_partitions(child.name);
      else
        if realtime.identity_problem(child.name) is not null then  -- INHERITS takes no primary key over
          execute format('alter table %s replica identity full', child.name);
          raise notice 'realtime: % has REPLICA IDENTITY FULL now: policies of exposed tables read it', child.name;
        end if;
        perform realtime.publish_table(child.name);
      end if;
    exception when insufficient_privilege then
      raise warning 'realtime: policies of exposed tables read %, whose changes cannot be followed: %', child.name, sqlerrm
        using hint = 'Expose the tables with these policies again as a superuser, or as a role with the rights of all owners.';
    end;
  end loop;
end
$$;
comment on function realtime.follow_children(oid[]) is
  'Publishes what became a child or partition of a table that policies of exposed tables read. Where the owner has not granted the right, it warns';
