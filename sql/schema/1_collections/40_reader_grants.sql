-- What realtime_reader, the role that runs clients' SQL, may read of a table.

create or replace function realtime.reader_privileges_complete(relation regclass, columns name[]) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- The grants as they are written down, not has_column_privilege(), which counts what PUBLIC may do.
  select coalesce(bool_and(wanted = granted), false)
  from (
    select columns is null as wanted, exists (
      select from pg_class c, aclexplode(c.relacl) a
      where c.oid = relation and a.grantee = r.oid and a.privilege_type = 'SELECT') as granted
    from pg_roles r where r.rolname = 'realtime_reader'
    union all
    select coalesce(t.attname = any (columns), false), exists (
      select from aclexplode(t.attacl) a where a.grantee = r.oid and a.privilege_type = 'SELECT')
    from pg_roles r, pg_attribute t
    where r.rolname = 'realtime_reader' and t.attrelid = relation and t.attnum > 0 and not t.attisdropped
    union all
    select true, has_schema_privilege('realtime_reader', c.relnamespace, 'usage')
    from pg_class c where c.oid = relation and exists (select from pg_roles r where r.rolname = 'realtime_reader')
  ) p
$$;
comment on function realtime.reader_privileges_complete(regclass, name[]) is
  'Whether realtime_reader may use the schema and select exactly the exposed columns (null: all)';

create or replace function realtime.grant_reader(relation regclass, columns name[]) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  target_schema regnamespace := (select c.relnamespace from pg_class c where c.oid = relation);
begin
  if realtime.reader_privileges_complete(relation, columns) then
    return false;
  end if;
  if not has_schema_privilege('realtime_reader', target_schema, 'usage') then
    execute format('grant usage on schema %s to realtime_reader', target_schema);
  end if;
  perform set_config('realtime.granting', 'on', true);
  execute format('revoke all on %s from realtime_reader', relation);
  if columns is null then
    execute format('grant select on %s to realtime_reader', relation);
  else
    execute format('grant select (%s) on %s to realtime_reader', (
      select string_agg(quote_ident(a.attname), ', ') from pg_attribute a
      where a.attrelid = relation and a.attname = any (columns) and a.attnum > 0 and not a.attisdropped), relation);
  end if;
  perform set_config('realtime.granting', '', true);
  return true;
end
$$;
comment on function realtime.grant_reader(regclass, name[]) is
  'Grants realtime_reader, the role that runs clients'' SQL, the exposed columns of a table and no others. Returns false if it has exactly these';

create or replace function realtime.grant_type_schemas(relation regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  wanted regnamespace;
begin
  -- Values in clients' queries are cast to the types of columns, by name.
  for wanted in
    select distinct y.typnamespace::regnamespace
    from pg_attribute a join pg_type t on t.oid = a.atttypid
    join pg_type y on y.oid in (t.oid, t.typelem, t.typbasetype)
    where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
      and not has_schema_privilege('realtime_reader', y.typnamespace, 'usage')
  loop
    begin
      execute format('grant usage on schema %s to realtime_reader', wanted);
    exception when insufficient_privilege then
      raise warning 'realtime: queries of % cannot name types of schema %: GRANT USAGE ON SCHEMA % TO realtime_reader;', relation, wanted, wanted;
    end;
  end loop;
end
$$;
comment on function realtime.grant_type_schemas(regclass) is
  'Grants realtime_reader, the role that runs clients'' SQL, the schemas of a table''s column types. Warns where the caller may not grant that';

create or replace function realtime.restore_reader(collection text) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  exposed realtime.collections;
  granted name[];
begin
  select * into exposed from realtime.collections c where c.name = restore_reader.collection;
  if realtime.reader_privileges_complete(exposed.relation, exposed.columns) then
    return null;
  end if;
  -- A grant belongs to the column, whatever its name is; the names in realtime.collections fall behind where there are no event
  -- triggers. A grant by name could then show a hidden column. So names count only where no grant is left: after a restore.
  select array_agg(a.attname order by a.attnum) into granted
  from pg_attribute a, aclexplode(a.attacl) x
  where a.attrelid = exposed.relation and a.attnum > 0 and not a.attisdropped and x.privilege_type = 'SELECT'
    and x.grantee = to_regrole('realtime_reader');
  if exposed.columns is not null and granted is not null and not granted @> exposed.columns then
    perform realtime.grant_reader(exposed.relation, granted);
    update realtime.collections c set columns = granted where c.name = restore_reader.collection;
    return format('wrote down the columns that clients may see of %s (collection %s): %s', exposed.relation, collection, array_to_string(granted, ', '));
  end if;
  perform realtime.grant_reader(exposed.relation, exposed.columns);
  update realtime.collections c set columns = c.columns where c.name = restore_reader.collection;  -- announces it
  return format('gave realtime_reader the exposed columns of %s (collection %s)', exposed.relation, collection);
end
$$;
comment on function realtime.restore_reader(text) is
  'Makes the privileges of realtime_reader and the columns in realtime.collections agree again. Returns what it changed; null: nothing';
