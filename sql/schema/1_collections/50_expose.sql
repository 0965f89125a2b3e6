-- How a table becomes a collection, step by step. realtime.expose() and realtime.unexpose() are in 60_expose_calls.sql.

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
  elsif target.relnamespace::regnamespace::text in ('pg_catalog', 'information_schema', 'realtime')
      and relation is distinct from to_regclass('realtime.alerts') then
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
  elsif target.relrowsecurity and not exists (select from realtime.served_roles()) then
    raise exception 'row-level security is enabled on %, and no role is served that its policies could be applied for', relation
      using errcode = 'feature_not_supported', hint = 'SELECT realtime.serve_role(''ROLE''); for each role that tokens may name. Then expose it.';
  end if;
end
$$;
comment on function realtime.refuse_table(regclass) is 'Raises an error with the reason if a table cannot be exposed';

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
comment on function realtime.refuse_collection_name(text, regclass) is 'Raises invalid_name, with a call that works, if a text cannot be the name of a collection';

create or replace function realtime.set_identity(member regclass, identity text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  problem text;
begin
  if lower(identity) not in ('full', 'default') then
    raise exception 'replica_identity must be ''full'' or ''default'', not %', quote_literal(identity)
      using errcode = 'invalid_parameter_value';
  elsif exists (select from pg_class c where c.oid = member and c.relreplident <> left(lower(identity), 1)::"char") then
    insert into realtime.changed_identities as i (relation, former, former_index, given)
    select c.oid, c.relreplident, (select x.indexrelid from pg_index x where x.indrelid = c.oid and x.indisreplident and c.relreplident = 'i'),
           left(lower(identity), 1)::"char"
    from pg_class c where c.oid = member
    on conflict on constraint changed_identities_pkey do update
      set given = excluded.given,
          former = case when i.given = excluded.former then i.former else excluded.former end,
          former_index = case when i.given = excluded.former then i.former_index else excluded.former_index end;
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
  'Sets the replica identity of a table or partition if it differs (null: keeps it). Raises object_not_in_prerequisite_state if updates and deletes cannot be followed';

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
  perform realtime.publish_policy_tables(expose_table.relation);
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
  'Writes the row of realtime.collections, which announces it to the servers; nothing if the row is the same already';

create or replace function realtime.unexpose_table(collection text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  target regclass;
begin
  delete from realtime.collections c where c.name = collection returning c.relation into target;
  if not found then
    raise exception 'no collection is named %', quote_literal(collection) using errcode = 'undefined_object';
  end if;
  perform realtime.limit_to_owner(target, null);
  if realtime.is_listed(target) then
    execute format('alter publication bunbase_realtime drop table %s', target);
  end if;
  if exists (select from pg_class c where c.oid = target) and exists (select from pg_roles r where r.rolname = 'realtime_reader') then
    execute format('revoke all on %s from realtime_reader', target);
  end if;
end
$$;
comment on function realtime.unexpose_table(text) is 'What realtime.unexpose() does, with the privileges of the caller';
