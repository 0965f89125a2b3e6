-- How a table becomes a collection, step by step. realtime.expose() and realtime.unexpose() are in 11_expose_calls.sql.

create or replace function realtime.identity_problem(relation regclass) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- Why UPDATE and DELETE of this table cannot be followed (null: they can). Postgres itself refuses UPDATE and DELETE on
  -- a published table without replica identity (docs: "Logical Replication / Publication"), so it must never be published.
  select case
    when c.relreplident = 'n' then format('%s has REPLICA IDENTITY NOTHING', c.oid::regclass)
    when c.relreplident = 'd' and not exists (
      select from pg_index i where i.indrelid = c.oid and i.indisprimary and i.indimmediate
    ) then format('%s has no primary key and its REPLICA IDENTITY is DEFAULT', c.oid::regclass)
    when c.relreplident = 'i' and not exists (
      select from pg_index i where i.indrelid = c.oid and i.indisreplident
    ) then format('the replica identity index of %s is gone', c.oid::regclass)
  end
  from pg_class c where c.oid = relation
$$;
comment on function realtime.identity_problem(regclass) is 'Why updates and deletes of a table cannot be followed; null if they can';

create or replace function realtime.partition_truncated() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  -- pgoutput does not send TRUNCATE of a partition whose changes are published through the root (pgoutput.c,
  -- pgoutput_truncate), so the partition says it itself, in the same transaction.
  perform pg_logical_emit_message(true, 'realtime.ddl',
    jsonb_build_object('tag', 'TRUNCATE', 'oids', jsonb_build_array(tg_relid::bigint), 'all', false)::text);
  return null;
end
$$;

create or replace function realtime.unwatched_partitions(root regclass) returns setof regclass
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- ALWAYS, because a subscription's apply worker truncates with session_replication_role = replica, in which ordinary triggers do not fire.
  -- DISABLE TRIGGER ALL and ENABLE TRIGGER ALL (pg_restore --disable-triggers) change that.
  select t.relid
  from realtime.leaves(root) t (relid) left join pg_trigger g on g.tgrelid = t.relid and g.tgname = 'realtime_truncate'
  where t.relid <> root and g.tgenabled is distinct from 'A'
$$;
comment on function realtime.unwatched_partitions(regclass) is 'Partitions of a table whose TRUNCATE is not announced: without the trigger for it, or with one that does not always fire';

create or replace function realtime.watch_partitions(root regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  leaf regclass;
begin
  -- Locks are taken only where something is missing. A partition that is attached later may belong to another role than the table: ATTACH PARTITION
  -- asks for the rights of both owners, and PostgreSQL itself makes the row triggers of a partitioned table on partitions of any owner.
  for leaf in select * from realtime.unwatched_partitions(root) loop
    if not exists (select from pg_trigger g where g.tgrelid = leaf and g.tgname = 'realtime_truncate') then
      execute format('create trigger realtime_truncate after truncate on %s '
                     'for each statement execute function realtime.partition_truncated()', leaf);
    end if;
    execute format('alter table %s enable always trigger realtime_truncate', leaf);
  end loop;
end
$$;
comment on function realtime.watch_partitions(regclass) is 'Makes TRUNCATE of single partitions visible to live queries; expose() and the DDL trigger call it';

create or replace function realtime.try_to_watch_partitions(root regclass) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform realtime.watch_partitions(root);
  return true;
exception when insufficient_privilege then
  raise warning 'realtime: %: TRUNCATE of single partitions of % is not announced to live queries', sqlerrm, root
    using hint = format('As a superuser, or a role with the rights of all owners: select realtime.watch_partitions(%L);', root);
  return false;
end
$$;
comment on function realtime.try_to_watch_partitions(regclass) is
  'As realtime.watch_partitions(), for what must go on although the owner of a partition has not given the right: a warning, and false';

create or replace function realtime.is_listed(relation regclass) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (
    select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
    where p.pubname = 'bunbase_realtime' and r.prrelid = relation
  )
$$;
comment on function realtime.is_listed(regclass) is
  'Whether the publication bunbase_realtime names a table, which then can be taken out of it; see realtime.is_published()';

create or replace function realtime.is_published(relation regclass) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  whole boolean := false;
begin
  if realtime.is_listed(relation) or exists (select from pg_publication p where p.pubname = 'bunbase_realtime' and p.puballtables) then
    return true;
  end if;
  -- publications of schemas exist since PostgreSQL 15
  if current_setting('server_version_num')::int >= 150000 then
    execute $query$
      select exists (
        select from pg_publication_namespace s
        join pg_publication p on p.oid = s.pnpubid and p.pubname = 'bunbase_realtime'
        join pg_class c on c.relnamespace = s.pnnspid and c.oid = $1)
    $query$ into whole using relation;
  end if;
  return whole;
end
$$;
comment on function realtime.is_published(regclass) is
  'Whether a table is in the publication bunbase_realtime: by its name, by that of its schema, or because all tables are';

create or replace function realtime.lock_writers(relation regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  -- Writers that are under way finish first and new ones wait until this commits: a transaction that wrote before the
  -- table was published and commits after it would otherwise be half in the stream.
  execute format('lock table %s in share row exclusive mode', relation);
end
$$;
comment on function realtime.lock_writers(regclass) is 'Waits for transactions that have written to a table and holds new ones back until this one ends';

create or replace function realtime.publish_table(relation regclass) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if realtime.is_published(relation) then
    return false;
  end if;
  perform realtime.lock_writers(relation);
  execute format('alter publication bunbase_realtime add table only %s', relation);
  return true;
end
$$;
comment on function realtime.publish_table(regclass) is 'Adds a table to the publication, with its writers locked out; false, and no lock: it is there already';

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
  'Gives realtime_reader, as which clients'' SQL runs, the exposed columns of a table and no others; false: it had them';

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
  'Lets realtime_reader, as which clients'' queries are read, use the schemas of a table''s column types; warns where the caller may not grant that';

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
  -- A grant belongs to the column, whatever it is called by now; the names in realtime.collections fall behind where there are no event
  -- triggers. To grant by name then could show a column that was hidden. So names count only where no grant is left: after a restore.
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
  'Makes the privileges of realtime_reader and the columns in realtime.collections agree again; what it did, null if they did';

create or replace function realtime.refuse_table(relation regclass) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  target pg_class;
begin
  select * into target from pg_class c where c.oid = relation;
  if relation is null then
    raise exception 'no table is given' using errcode = 'null_value_not_allowed';
  elsif not found then
    raise exception 'there is no table with oid %', relation::oid using errcode = 'undefined_table';
  elsif target.relkind not in ('r', 'p') then
    raise exception '% is not a table', relation
      using errcode = 'wrong_object_type', hint = 'Expose the tables a view reads, and subscribe with an SQL query.';
  elsif target.relnamespace::regnamespace::text in ('pg_catalog', 'information_schema', 'realtime') then
    raise exception 'tables of schema % cannot be exposed', target.relnamespace::regnamespace using errcode = 'insufficient_privilege';
  elsif target.relpersistence <> 'p' then
    raise exception '% is temporary or unlogged: its changes are not in the WAL', relation
      using errcode = 'wrong_object_type', hint = 'ALTER TABLE ... SET LOGGED makes an unlogged table an ordinary one.';
  elsif target.relispartition then
    raise exception '% is a partition', relation
      using errcode = 'wrong_object_type', hint = 'Expose the partitioned table it belongs to.';
  elsif exists (select from pg_inherits i where relation in (i.inhparent, i.inhrelid)) and target.relkind <> 'p' then
    raise exception '% takes part in table inheritance, which live queries do not follow', relation
      using errcode = 'feature_not_supported';
  elsif target.relrowsecurity then
    raise exception 'row-level security is enabled on %, and live queries do not apply policies', relation
      using errcode = 'feature_not_supported';
  end if;
end
$$;
comment on function realtime.refuse_table(regclass) is 'Raises the reason why a table cannot be exposed, if there is one';

create or replace function realtime.refuse_collection_name(collection text, relation regclass) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  name text := left(trim(both '-' from lower(regexp_replace(collection, '[^A-Za-z0-9_]+', '-', 'g'))), 63);
begin
  -- The rule of the constraint collections_name_check.
  if collection !~ '^[A-Za-z_][A-Za-z0-9_.-]{0,127}$' then
    raise exception '% cannot be the name of a collection: a letter or _ comes first, then up to 127 letters, digits, _, . or -',
      quote_literal(collection) using errcode = 'invalid_name',
      hint = format('Give a name: realtime.expose(%1$L, name => %2$L), or on the command line --name %2$s.', relation,
                    case when name ~ '^[a-z_]' then name else '_' || name end);
  end if;
end
$$;
comment on function realtime.refuse_collection_name(text, regclass) is 'Raises invalid_name, with the call to make, for what cannot be the name of a collection';

create or replace function realtime.set_identity(member regclass, identity text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  problem text;
begin
  if lower(identity) not in ('full', 'default') then
    raise exception 'replica_identity must be ''full'' or ''default'', not %', quote_literal(identity)
      using errcode = 'invalid_parameter_value';
  elsif exists (select from pg_class c where c.oid = member and c.relreplident <> left(lower(identity), 1)::"char") then
    execute format('alter table %s replica identity %s', member, lower(identity));
  end if;
  problem := realtime.identity_problem(member);
  if problem is not null then
    raise exception '%: updates and deletes could not be followed', problem
      using errcode = 'object_not_in_prerequisite_state',
            hint = 'Add a primary key, or call realtime.expose(..., replica_identity => ''full''), on the command line --replica-identity full.';
  end if;
end
$$;
comment on function realtime.set_identity(regclass, text) is
  'Sets the replica identity of a table or partition if it is another one (null: leaves it), and raises if updates and deletes cannot be followed';

create or replace function realtime.expose_table(
  relation regclass, name text, columns name[], camel_case boolean, replica_identity text
) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  target pg_class;
  collection text;
  unknown text;
begin
  perform realtime.refuse_table(expose_table.relation);
  select * into target from pg_class c where c.oid = expose_table.relation;
  collection := coalesce(expose_table.name, target.relname);
  perform realtime.refuse_collection_name(collection, expose_table.relation);

  if cardinality(expose_table.columns) = 0 or array_position(expose_table.columns, null) is not null then
    raise exception 'columns of % are an empty list, or one of them is null', expose_table.relation
      using errcode = 'invalid_parameter_value', hint = 'Name at least one column, or give no list: that exposes all.';
  end if;
  select string_agg(quote_ident(wanted), ', ') into unknown
  from unnest(expose_table.columns) wanted
  where not exists (
    select from pg_attribute a
    where a.attrelid = expose_table.relation and a.attname = wanted and a.attnum > 0 and not a.attisdropped
  );
  if unknown is not null then
    raise exception '% has no column %', expose_table.relation, unknown using errcode = 'undefined_column';
  end if;

  -- Each step takes its locks only if it changes something.
  if not realtime.is_published(expose_table.relation) then
    perform realtime.lock_writers(expose_table.relation);
  end if;
  perform realtime.set_identity(m.member, expose_table.replica_identity) from realtime.leaves(expose_table.relation) m (member);
  perform realtime.publish_table(expose_table.relation);
  if target.relkind = 'p' then
    perform realtime.watch_partitions(expose_table.relation);
  end if;
  perform realtime.grant_reader(expose_table.relation, expose_table.columns);
  perform realtime.grant_servers(expose_table.relation, expose_table.columns);
  perform realtime.record_collection(collection, expose_table.relation, expose_table.columns, expose_table.camel_case);
  return collection;
end
$$;
comment on function realtime.expose_table(regclass, text, name[], boolean, text) is 'What realtime.expose() does, with the privileges of the caller';

create or replace function realtime.record_collection(collection text, relation regclass, columns name[], camel_case boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  present_name name := (select c.relname from pg_class c where c.oid = record_collection.relation);
begin
  delete from realtime.collections c
  where c.relation = record_collection.relation and c.name <> collection
     or c.name = collection and not exists (select from pg_class p where p.oid = c.relation);  -- dropped, and not announced
  insert into realtime.collections as c (name, relation, columns, camel_case, table_name)
  values (collection, record_collection.relation, record_collection.columns, record_collection.camel_case, present_name)
  on conflict on constraint collections_pkey do update
    set columns = excluded.columns, camel_case = excluded.camel_case, table_name = excluded.table_name
    where c.relation = excluded.relation
      and (c.columns, c.camel_case, c.table_name) is distinct from (excluded.columns, excluded.camel_case, excluded.table_name);
  if not found and not exists (
    select from realtime.collections c where c.name = collection and c.relation = record_collection.relation
  ) then
    raise exception 'a collection named % exists already, for table %', quote_literal(collection),
      (select c.relation from realtime.collections c where c.name = collection)
      using errcode = 'duplicate_object', hint = 'Give another name: realtime.expose(table, name => ...), on the command line --name.';
  end if;
end
$$;
comment on function realtime.record_collection(text, regclass, name[], boolean) is
  'Writes the row of realtime.collections, which announces it to the servers; nothing if it says so already';

create or replace function realtime.unexpose_table(collection text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  target regclass;
begin
  delete from realtime.collections c where c.name = collection returning c.relation into target;
  if not found then
    raise exception 'no collection is named %', quote_literal(collection) using errcode = 'undefined_object';
  end if;
  if realtime.is_listed(target) then
    execute format('alter publication bunbase_realtime drop table %s', target);
  end if;
  if exists (select from pg_class c where c.oid = target) and exists (select from pg_roles r where r.rolname = 'realtime_reader') then
    execute format('revoke all on %s from realtime_reader', target);
  end if;
end
$$;
comment on function realtime.unexpose_table(text) is 'What realtime.unexpose() does, with the privileges of the caller';
