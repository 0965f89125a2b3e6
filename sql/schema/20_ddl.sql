-- Changes of definition travel in the stream, in their transaction, as the logical message `realtime.ddl`:
--   {"tag": "ALTER TABLE", "oids": [16384], "all": false}
-- "oids" are the relations concerned; "all" says that a type, schema, function or the like changed, so any table, and any
-- query, may be concerned.

create or replace function realtime.collections_changed() returns trigger
language plpgsql set search_path = pg_catalog as $$
begin
  perform pg_logical_emit_message(true, 'realtime.ddl',
    jsonb_build_object('tag', tg_op || ' COLLECTION', 'all', false, 'oids',
      jsonb_build_array(case when tg_op = 'DELETE' then old.relation::oid::bigint else new.relation::oid::bigint end))::text);
  return null;
end
$$;

create or replace function realtime.is_routine(object_type text, schema_name text) returns boolean
language sql immutable set search_path = pg_catalog as $$
  select coalesce(object_type in ('function', 'aggregate', 'operator', 'operator class', 'operator family', 'cast')
                  and schema_name is distinct from 'realtime', false)
$$;
comment on function realtime.is_routine(text, text) is
  'Whether DDL on such an object can change what clients'' SQL calls, so that queries that were accepted are checked again';

create or replace function realtime.note_ddl() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  relations bigint[];
  everything boolean;
  root regclass;
begin
  if not exists (select from realtime.collections) then
    return;
  end if;
  if tg_event = 'sql_drop' then
    select array_agg(distinct o.objid::bigint) filter (where o.classid = 'pg_class'::regclass),
           bool_or(o.object_type in ('type', 'schema', 'domain', 'collation') or realtime.is_routine(o.object_type, o.schema_name))
      into relations, everything
      from pg_event_trigger_dropped_objects() o where not o.is_temporary;
    delete from realtime.collections c where not exists (select from pg_class p where p.oid = c.relation);
  else
    select array_agg(distinct o.objid::bigint) filter (where o.object_type in ('table', 'table column', 'table constraint')),
           bool_or(o.object_type in ('type', 'schema', 'domain', 'domain constraint', 'collation')
                   or realtime.is_routine(o.object_type, o.schema_name))
      into relations, everything
      from pg_event_trigger_ddl_commands() o where o.schema_name is distinct from 'pg_temp';
    for root in
      select c.relation from realtime.collections c join pg_class p on p.oid = c.relation and p.relkind = 'p'
      where exists (select from pg_partition_tree(c.relation) t where t.relid = any (relations))
    loop
      perform realtime.watch_partitions(root);
    end loop;
  end if;
  if relations is not null or everything then
    perform pg_logical_emit_message(true, 'realtime.ddl', jsonb_build_object(
      'tag', tg_tag, 'oids', coalesce(to_jsonb(relations), '[]'), 'all', coalesce(everything, false))::text);
  end if;
exception when others then
  raise warning 'realtime: % was not announced to live queries: %', tg_tag, sqlerrm;
end
$$;
