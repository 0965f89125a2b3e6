-- Functions whose body is a text find what they name when they run: by name, in the schemas of the search path. So the rows that policies show
-- may change with whatever gets or loses a name that is in such a text.

create or replace function realtime.meanings_mark(names name[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  wanted name[] := names;
begin
  -- PL/pgSQL keeps the plans: each read under policies with such functions is followed by this. With xmin, as what loses its name and gets it
  -- back is another meaning: a session may have planned in between. That of the row type, as TRUNCATE changes the one in pg_class.
  if names = '{}' then
    return '';
  elsif '"' = any (names) then
    wanted := names || array(select c.relname from pg_class c where position('"' in c.relname) > 0)
                    || array(select f.proname from pg_proc f where position('"' in f.proname) > 0)
                    || array(select t.typname from pg_type t where position('"' in t.typname) > 0)
                    || array(select l.collname from pg_collation l where position('"' in l.collname) > 0);
  end if;
  return md5((
    select string_agg(format('%s %s %s %s %s %s', o.class, o.oid, o.name, o.mark, n.nspname, n.xmin), ',' order by o.class, o.oid)
    from (
      select 'c' as class, c.oid, c.relname as name, c.relnamespace as namespace,
             concat(c.relkind, ' ', (select t.xmin from pg_type t where t.oid = c.reltype)) as mark
      from pg_class c
      where c.relname = any (wanted) and c.relpersistence <> 't'
      union all
      select 'f', f.oid, f.proname, f.pronamespace, f.xmin::text from pg_proc f where f.proname = any (wanted) and f.oid >= 16384
      union all
      select 't', t.oid, t.typname, t.typnamespace, t.xmin::text from pg_type t where t.typname = any (wanted) and t.oid >= 16384 and t.typrelid = 0
      union all
      select 'l', l.oid, l.collname, l.collnamespace, l.xmin::text from pg_collation l where l.collname = any (wanted) and l.oid >= 16384
      union all
      select 'o', o.oid, o.oprname, o.oprnamespace, o.xmin::text from pg_operator o where o.oid >= 16384
      union all
      select 'k', k.oid, null, null, k.xmin::text from pg_cast k where k.oid >= 16384
    ) o
    left join pg_namespace n on n.oid = o.namespace));
end
$$;
comment on function realtime.meanings_mark(name[]) is
  'A text that changes with what these names may mean, in any schema: relations, functions, types and collations; and with all operators and casts. '
  'Empty without names';

create or replace function realtime.use_fresh_plans(meanings jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  known jsonb := coalesce(nullif(current_setting('realtime.meanings', true), ''), '{}');
begin
  -- A session keeps the plans of what functions have run. A new object that hides those that they read makes none of them invalid
  -- (docs: PREPARE; plancache.c), one that loses its name does.
  if known @> meanings then
    return;
  elsif exists (select from jsonb_each_text(meanings) m where known ->> m.key <> m.value) then
    known := '{}';  -- others may have come and gone meanwhile
  end if;
  execute 'discard plans';
  perform set_config('realtime.meanings', (known || meanings)::text, false);
end
$$;
comment on function realtime.use_fresh_plans(jsonb) is
  'Has functions planned anew unless this session has read under these marks of policies, by table: names in the texts may mean something else by now';

create or replace function realtime.texts_name(names name[]) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  -- It runs within the DDL of applications, which hold locks. The work grows with the number of texts times that of the names, so many
  -- names, as of DROP SCHEMA CASCADE, count as found. CASE: mentions() is called for few, whatever the planner thinks of its cost.
  if names is null or names = '{}' then
    return false;
  elsif cardinality(names) > 20 then
    return true;
  end if;
  return exists (
    select from (
      select f.prosrc, lower(f.prosrc collate "C") as lowered
      from pg_proc f join pg_language l on l.oid = f.prolang and l.lanname in ('sql', 'plpgsql')
      where f.oid >= 16384 and f.prosqlbody is null and f.pronamespace <> 'realtime'::regnamespace offset 0) t
    cross join (select w.name, lower(w.name::text collate "C") as lowered from unnest(names) w (name) offset 0) w
    where case when position(w.lowered in t.lowered) > 0 or position('"' in w.name) > 0 then realtime.mentions(t.prosrc, w.name) else false end);
end
$$;
comment on function realtime.texts_name(name[]) is
  'Whether the text of a function, other than ours, has one of these names in it: then it may mean something else to policies once an object gets or loses it. '
  'True for more than 20 names';

create or replace function realtime.follow_named(changed oid[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  named record;
begin
  for named in
    with recursive walk (class, object) as (
      select 'pg_class'::regclass::oid, t.oid from realtime.collections k join pg_class t on t.oid = k.relation and t.relrowsecurity
      union
      select e.to_class, e.to_object from walk w cross join lateral realtime.policy_edges(w.class, w.object) e
    ), candidates as materialized (
      select c.oid from pg_class c
      where c.oid = any (changed) and c.relkind in ('r', 'p') and c.relpersistence = 'p' and not c.relispartition
        and not realtime.is_published(c.oid) and realtime.identity_problem(c.oid) is null
    )
    select c.oid::regclass as name, r.relkind = 'p' as partitioned
    from candidates c join pg_class r on r.oid = c.oid
    where exists (select from walk w where w.class = 'pg_class'::regclass and w.object = c.oid)
  loop
    begin
      perform realtime.publish_table(named.name);
      if named.partitioned then
        perform realtime.watch_partitions(named.name);
      end if;
    exception when others then  -- the change itself is announced all the same
      raise warning 'realtime: functions that policies of exposed tables call may read %, whose changes cannot be followed: %', named.name, sqlerrm
        using hint = 'Expose the tables with these policies again as a superuser, or as a role with the rights of all owners.';
    end;
  end loop;
end
$$;
comment on function realtime.follow_named(oid[]) is
  'Publishes tables that got a name by which functions of policies of exposed tables may read them, if the publication can have them as they are. '
  'Where that fails, as where the owner has not granted the right, it warns';
