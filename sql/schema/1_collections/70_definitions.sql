-- Changes of definition travel in the stream, in their transaction, as the logical message `realtime.ddl`:
--   {"tag": "ALTER TABLE", "oids": [16384], "all": false}
-- "oids" are the relations concerned, "types" the types; "all" means that a schema, operator or the like changed, so any table, and
-- any query, may be concerned; "routines" that a function did, which any query that is re-read may call, or that a relation got or lost a
-- name that is in the text of one.

create or replace function realtime.collections_changed() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform pg_logical_emit_message(true, 'realtime.ddl',
    jsonb_build_object('tag', tg_op || ' COLLECTION', 'all', false, 'oids',
      jsonb_build_array(case when tg_op = 'DELETE' then old.relation::oid::bigint else new.relation::oid::bigint end))::text);
  return null;
end
$$;
comment on function realtime.collections_changed() is 'Trigger function: announces to the servers that a table was exposed, exposed in another way, or closed';

create or replace function realtime.is_routine(object_type text, schema_name text) returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select coalesce(object_type in ('function', 'aggregate', 'procedure') and schema_name is distinct from 'realtime', false)
$$;
comment on function realtime.is_routine(text, text) is
  'Whether DDL on such an object can change a function that a re-read query calls. Incremental queries call none';

create or replace function realtime.concerned_relations(changed oid[]) returns bigint[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- The relations themselves, what they are partitions or children of, and exposed tables that a name may have meant so far: clients' SQL
  -- finds its tables by the search path.
  with recursive up (oid) as (
    select unnest(changed)
    union
    select i.inhparent from up join pg_inherits i on i.inhrelid = up.oid
  )
  select array_agg(distinct found.oid::bigint)
  from (
    select oid from up
    union all
    select e.oid
    from pg_class c
    join pg_class e on e.relname = c.relname and e.oid <> c.oid
    join realtime.collections k on k.relation = e.oid
    where c.oid = any (changed) and c.relkind in ('r', 'p', 'v', 'm', 'f')
  ) found
  where found.oid is not null
$$;
comment on function realtime.concerned_relations(oid[]) is 'The relations that a realtime.ddl message about changes of these lists; null: none';

create or replace function realtime.follow_columns(changed oid[]) returns void
language sql set search_path = pg_catalog, pg_temp as $$
  -- What clients may see belongs to the columns, by expose()'s GRANT, not to names; the names are kept in step with it.
  update realtime.collections k
  set columns = granted.names
  from (
    select a.attrelid, array_agg(a.attname order by a.attnum) as names
    from pg_attribute a
    where a.attrelid = any (changed) and a.attnum > 0 and not a.attisdropped and exists (
      select from aclexplode(a.attacl) x
      where x.grantee = to_regrole('realtime_reader') and x.privilege_type = 'SELECT')
    group by a.attrelid
  ) granted
  where k.relation = granted.attrelid and k.columns is not null
    and not (k.columns @> granted.names and k.columns <@ granted.names)
$$;
comment on function realtime.follow_columns(oid[]) is
  'Updates the names of exposed columns in realtime.collections after a rename or a drop, from the grants of realtime_reader';

create or replace function realtime.changed_privileges() returns oid[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- GRANT and REVOKE do not name what they were about, so what is granted is compared with what expose() has granted.
  select array_agg(k.relation::oid)
  from realtime.collections k
  join pg_class c on c.oid = k.relation
  where case when k.columns is null then not exists (
    select from aclexplode(c.relacl) x where x.grantee = to_regrole('realtime_reader') and x.privilege_type = 'SELECT')
  else array(select unnest(k.columns) order by 1) <> array(
    select a.attname from pg_attribute a
    where a.attrelid = k.relation and a.attnum > 0 and not a.attisdropped and exists (
      select from aclexplode(a.attacl) x where x.grantee = to_regrole('realtime_reader') and x.privilege_type = 'SELECT')
    order by 1)
  end
$$;
comment on function realtime.changed_privileges() is
  'Exposed tables of which realtime_reader may select something else than realtime.collections lists; null: none';

create or replace function realtime.note_ddl() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  changed oid[];      -- pg_class: tables, partitions, composite types
  names name[];       -- of all relations, with sequences and indexes: by the search path each hides others of its name
  relations bigint[];
  types bigint[];
  everything boolean;
  routines boolean;
  root regclass;
  ours oid := (select oid from pg_publication where pubname = 'bunbase_realtime');
begin
  if not exists (select from realtime.collections) then
    return;
  end if;
  -- How PostgreSQL reports them: attributes of a composite type as 'composite type' and 'composite type column' of pg_class; other changes of
  -- types, CREATE DOMAIN and labels of enums as 'type' of pg_type; GRANT with nothing but a word in capitals.
  if tg_event = 'sql_drop' then
    if not exists (select from pg_event_trigger_dropped_objects() o where not o.is_temporary and o.object_type <> 'rule') then
      return;  -- applications drop temporary tables at a high rate
    end if;
    select array_agg(distinct o.objid) filter (where o.classid = 'pg_class'::regclass)
           || array_agg(distinct to_regclass(format('%I.%I', o.address_names[1], o.address_names[2]))::oid)
              filter (where o.object_type = 'policy' or o.object_type = 'publication relation' and o.address_args = '{bunbase_realtime}')
           -- a dropped relation may have come before an exposed table of its name in the search path
           || array_agg(distinct (select k.relation::oid from realtime.collections k join pg_class e on e.oid = k.relation
                                  where e.relname = o.object_name limit 1))
              filter (where o.object_type in ('table', 'view', 'materialized view', 'foreign table'))
           -- with an index a replica identity can go, which does not name its table
           || case when bool_or(o.object_type = 'index') then array(
                select c.oid from pg_class c
                where c.relreplident = 'i' and c.relkind in ('r', 'p')
                  and not exists (select from pg_index i where i.indrelid = c.oid and i.indisreplident)) end,
           array_agg(distinct o.objid::bigint) filter (where o.classid = 'pg_type'::regclass),
           bool_or(o.object_type in ('schema', 'collation', 'operator', 'operator class', 'operator family', 'cast')
                   or o.object_type = 'view' and exists (select from realtime.served_roles())
                   or o.object_type = 'publication namespace' and o.address_args = '{bunbase_realtime}'
                   or o.object_type = 'publication' and o.address_names = '{bunbase_realtime}'),
           bool_or(realtime.is_routine(o.object_type, o.schema_name)),
           array_agg(distinct o.object_name::name)
             filter (where o.classid = 'pg_class'::regclass and o.object_name is not null and o.schema_name is distinct from 'pg_toast')
      into changed, types, everything, routines, names
      from pg_event_trigger_dropped_objects() o where not o.is_temporary;
    -- as a sub-select it is by index; as an anti-join it may be planned as a look at all tables
    delete from realtime.collections c where (select p.oid from pg_class p where p.oid = c.relation) is null;
  else
    if tg_tag not in ('GRANT', 'REVOKE', 'DROP OWNED')
       and not exists (select from pg_event_trigger_ddl_commands() o where o.schema_name is distinct from 'pg_temp') then
      return;
    end if;
    select array_agg(distinct o.objid) filter (where o.classid = 'pg_class'::regclass and o.object_type not in ('index', 'sequence'))
           || array_agg(distinct (select x.conrelid from pg_constraint x where x.oid = o.objid)) filter (where o.object_type = 'table constraint')
           || array_agg(distinct (select p.polrelid from pg_policy p where p.oid = o.objid)) filter (where o.object_type = 'policy')
           || array_agg(distinct (select r.prrelid from pg_publication_rel r where r.oid = o.objid and r.prpubid = ours))
              filter (where o.object_type = 'publication relation'),
           array_agg(distinct o.objid::bigint) filter (where o.classid = 'pg_type'::regclass),
           bool_or(o.object_type in ('schema', 'collation') and tg_tag not like 'CREATE %'
                   or o.object_type = 'collation' and exists (select from realtime.served_roles())  -- it may hide another one
                   or o.object_type in ('operator', 'operator class', 'operator family', 'cast')
                   or o.object_type = 'extension' and tg_tag = 'ALTER EXTENSION'  -- SET SCHEMA moves what belongs to it
                   or o.object_type in ('view', 'view column', 'rule') and (has_any_column_privilege(to_regrole('realtime_reader')::oid, o.objid, 'select')
                                                             or exists (select from realtime.served_roles()))
                   or o.object_type = 'publication' and coalesce(o.objid = ours, true)  -- perhaps it was renamed
                   or o.object_type = 'publication namespace' and o.object_identity like '% in publication bunbase_realtime'),
           bool_or(realtime.is_routine(o.object_type, o.schema_name)),
           array_agg(distinct (select c.relname from pg_class c where c.oid = o.objid)) filter (where o.classid = 'pg_class'::regclass)
      into changed, types, everything, routines, names
      from pg_event_trigger_ddl_commands() o where o.schema_name is distinct from 'pg_temp';
    -- expose() announces what it grants by its row in realtime.collections
    if tg_tag in ('GRANT', 'REVOKE', 'DROP OWNED') and coalesce(current_setting('realtime.granting', true), '') <> 'on' then
      changed := changed || realtime.changed_privileges();
      everything := everything or exists (select from realtime.served_roles());  -- perhaps it was a privilege of one of them
    end if;
    perform realtime.follow_columns(changed);
    if exists (select from pg_inherits i where i.inhrelid = any (changed) or i.inhparent = any (changed)) and exists (select from realtime.served_roles()) then
      perform realtime.follow_children(changed);
    end if;
  end if;
  if tg_tag not in ('COMMENT', 'SECURITY LABEL') and exists (select from realtime.served_roles()) and realtime.texts_name(names) then
    routines := true;
    if tg_event = 'ddl_command_end' then
      perform realtime.follow_named(changed);
    end if;
  end if;
  relations := realtime.concerned_relations(changed);
  if tg_event = 'ddl_command_end' then
    for root in
      select c.relation from realtime.collections c join pg_class p on p.oid = c.relation and p.relkind = 'p'
      where c.relation::oid = any (relations)
    loop
      perform realtime.try_to_watch_partitions(root);
      if tg_tag = 'ALTER TABLE' then
        perform realtime.refresh_publication();
      end if;
    end loop;
  end if;
  if relations is not null or types is not null or everything or routines then
    perform pg_logical_emit_message(true, 'realtime.ddl', jsonb_build_object(
      'tag', tg_tag, 'oids', coalesce(to_jsonb(relations), '[]'), 'types', coalesce(to_jsonb(types), '[]'),
      'all', coalesce(everything, false), 'routines', coalesce(routines, false), 'published', tg_tag in ('CREATE PUBLICATION', 'ALTER PUBLICATION', 'DROP PUBLICATION'))::text);
  end if;
exception when others then
  raise warning 'realtime: % was not announced to live queries: %', tg_tag, sqlerrm;
end
$$;
comment on function realtime.note_ddl() is
  'Event trigger function: announces DDL on exposed tables, their types and the publication to the servers, as a realtime.ddl message. An error is a '
  'warning: the statement goes on, and servers find the change by comparing definitions';
