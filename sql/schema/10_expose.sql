-- Which tables clients may subscribe to: realtime.expose() and realtime.unexpose().

create or replace function realtime.identity_problem(relation regclass) returns text
language sql stable set search_path = pg_catalog as $$
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

create or replace function realtime.watch_partitions(root regclass) returns void
language plpgsql set search_path = pg_catalog as $$
declare
  leaf regclass;
begin
  for leaf in
    select t.relid from pg_partition_tree(root) t
    where t.relid <> root and t.isleaf and not exists (
      select from pg_trigger g where g.tgrelid = t.relid and g.tgname = 'realtime_truncate'
    )
  loop
    execute format('create trigger realtime_truncate after truncate on %s '
                   'for each statement execute function realtime.partition_truncated()', leaf);
  end loop;
end
$$;
comment on function realtime.watch_partitions(regclass) is 'Makes TRUNCATE of single partitions visible to live queries; expose() and the DDL trigger call it';

create or replace function realtime.expose(
  relation regclass,
  name text default null,
  columns name[] default null,
  camel_case boolean default false,
  replica_identity text default null
) returns text
language plpgsql set search_path = pg_catalog as $$
#variable_conflict use_column
declare
  target pg_class;
  target_schema name;
  collection text;
  unknown text;
  problem text;
  member regclass;
begin
  select * into target from pg_class c where c.oid = expose.relation;
  select nspname into target_schema from pg_namespace n where n.oid = target.relnamespace;
  collection := coalesce(expose.name, target.relname);

  if target.relkind not in ('r', 'p') then
    raise exception '% is not a table', expose.relation
      using errcode = 'wrong_object_type', hint = 'Expose the tables a view reads, and subscribe with an SQL query.';
  elsif target_schema in ('pg_catalog', 'information_schema', 'realtime') then
    raise exception 'tables of schema % cannot be exposed', target_schema using errcode = 'insufficient_privilege';
  elsif target.relpersistence <> 'p' then
    raise exception '% is temporary or unlogged: its changes are not in the WAL', expose.relation
      using errcode = 'wrong_object_type', hint = 'ALTER TABLE ... SET LOGGED makes an unlogged table an ordinary one.';
  elsif target.relispartition then
    raise exception '% is a partition', expose.relation
      using errcode = 'wrong_object_type', hint = 'Expose the partitioned table it belongs to.';
  elsif exists (select from pg_inherits i where expose.relation in (i.inhparent, i.inhrelid)) and target.relkind <> 'p' then
    raise exception '% takes part in table inheritance, which live queries do not follow', expose.relation
      using errcode = 'feature_not_supported';
  elsif target.relrowsecurity then
    raise exception 'row-level security is enabled on %, and live queries do not apply policies', expose.relation
      using errcode = 'feature_not_supported';
  end if;

  select string_agg(quote_ident(wanted), ', ') into unknown
  from unnest(expose.columns) wanted
  where not exists (
    select from pg_attribute a
    where a.attrelid = expose.relation and a.attname = wanted and a.attnum > 0 and not a.attisdropped
  );
  if unknown is not null then
    raise exception '% has no column %', expose.relation, unknown using errcode = 'undefined_column';
  end if;

  -- Writers that are under way finish first and new ones wait until this commits: a transaction that wrote before the
  -- table was published and commits after it would otherwise be half in the stream.
  execute format('lock table %s in share row exclusive mode', expose.relation);

  for member in
    select t.relid from pg_partition_tree(expose.relation) t where t.isleaf
    union select expose.relation where target.relkind = 'r'
  loop
    if lower(expose.replica_identity) in ('full', 'default') then
      execute format('alter table %s replica identity %s', member, expose.replica_identity);
    elsif expose.replica_identity is not null then
      raise exception 'replica_identity must be ''full'' or ''default'', not %', quote_literal(expose.replica_identity)
        using errcode = 'invalid_parameter_value';
    end if;
    problem := realtime.identity_problem(member);
    if problem is not null then
      raise exception '%: updates and deletes could not be followed', problem
        using errcode = 'object_not_in_prerequisite_state',
              hint = 'Add a primary key, or call realtime.expose(..., replica_identity => ''full'').';
    end if;
  end loop;

  if not exists (
    select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
    where p.pubname = 'bunbase_realtime' and r.prrelid = expose.relation
  ) then
    execute format('alter publication bunbase_realtime add table only %s', expose.relation);
  end if;
  if target.relkind = 'p' then
    perform realtime.watch_partitions(expose.relation);
  end if;

  execute format('revoke all on %s from realtime_reader', expose.relation);
  execute format('grant usage on schema %I to realtime_reader', target_schema);
  if expose.columns is null then
    execute format('grant select on %s to realtime_reader', expose.relation);
  else
    execute format('grant select (%s) on %s to realtime_reader',
      (select string_agg(quote_ident(c), ', ') from unnest(expose.columns) c), expose.relation);
  end if;

  delete from realtime.collections c where c.relation = expose.relation and c.name <> collection;
  insert into realtime.collections as c (name, relation, columns, camel_case)
  values (collection, expose.relation, expose.columns, expose.camel_case)
  on conflict on constraint collections_pkey do update
    set columns = excluded.columns, camel_case = excluded.camel_case
    where c.relation = excluded.relation;
  if not found then
    raise exception 'a collection named % exists already, for table %', quote_literal(collection),
      (select c.relation from realtime.collections c where c.name = collection)
      using errcode = 'duplicate_object', hint = 'Give another name: realtime.expose(table, name => ...).';
  end if;
  return collection;
end
$$;
comment on function realtime.expose(regclass, text, name[], boolean, text) is
  'Let clients subscribe to a table as db:collection:NAME. columns: those they may see and query (null: all); camel_case: '
  'created_at is shown as createdAt; replica_identity: ''full'' sets it first, for a table without primary key. Waits for '
  'writers of the table and holds them back until the transaction ends. Returns the name of the collection.';

create or replace function realtime.unexpose(collection text) returns void
language plpgsql set search_path = pg_catalog as $$
declare
  target regclass;
begin
  delete from realtime.collections c where c.name = collection returning c.relation into target;
  if not found then
    raise exception 'no collection is named %', quote_literal(collection) using errcode = 'undefined_object';
  end if;
  if exists (
    select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
    where p.pubname = 'bunbase_realtime' and r.prrelid = target
  ) then
    execute format('alter publication bunbase_realtime drop table %s', target);
  end if;
  execute format('revoke all on %s from realtime_reader', target);
end
$$;
comment on function realtime.unexpose(text) is 'Close a collection: its live queries end with an error, its table leaves the publication';
