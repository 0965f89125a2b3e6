-- TRUNCATE of single partitions, which pgoutput does not send: the triggers that announce it.

create or replace function realtime.partition_truncated() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  -- pgoutput does not send TRUNCATE of a partition whose changes are published through the root (pgoutput.c,
  -- pgoutput_truncate), so the partition announces it itself, in the same transaction.
  perform pg_logical_emit_message(true, 'realtime.ddl',
    jsonb_build_object('tag', 'TRUNCATE', 'oids', jsonb_build_array(tg_relid::bigint), 'all', false)::text);
  return null;
end
$$;
comment on function realtime.partition_truncated() is 'Trigger function: announces TRUNCATE of a partition to the servers, as a realtime.ddl message';

create or replace function realtime.unwatched_partitions(root regclass) returns setof regclass
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- ALWAYS, because a subscription's apply worker truncates with session_replication_role = replica, in which ordinary triggers do not fire.
  -- DISABLE TRIGGER ALL and ENABLE TRIGGER ALL (pg_restore --disable-triggers) change that.
  select t.relid
  from realtime.leaves(root) t (relid) left join pg_trigger g on g.tgrelid = t.relid and g.tgname = 'realtime_truncate'
  where t.relid <> root and g.tgenabled is distinct from 'A'
$$;
comment on function realtime.unwatched_partitions(regclass) is 'Partitions of a table whose TRUNCATE is not announced: without the trigger for it, or with one that does not always fire';

create or replace function realtime.refresh_publication() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  -- pgoutput of PostgreSQL 14 remembers of each table whether it is published until the publication changes; a table that was written before it was
  -- attached as a partition stays unpublished for it (pgoutput.c, rel_sync_cache_relation_cb). Since 15 the attaching makes it look again.
  if current_setting('server_version_num')::int < 150000 then
    alter publication bunbase_realtime set (publish_via_partition_root = true);
  end if;
exception when insufficient_privilege or internal_error then  -- the latter: another transaction has just altered it
  raise warning 'realtime: rows of a partition that was attached do not reach live queries yet: %', sqlerrm
    using hint = 'As the owner of the schema realtime or a superuser: ALTER PUBLICATION bunbase_realtime SET (publish_via_partition_root = true);';
end
$$;
comment on function realtime.refresh_publication() is 'PostgreSQL 14: has streams look again which tables are published, after a partition was attached';

create or replace function realtime.watch_partitions(root regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  leaf regclass;
  new boolean := false;
begin
  -- Locks are taken only where something is missing. A partition that is attached later may belong to another role than the table: ATTACH PARTITION
  -- asks for the rights of both owners, and PostgreSQL itself makes the row triggers of a partitioned table on partitions of any owner.
  for leaf in select * from realtime.unwatched_partitions(root) loop
    if not exists (select from pg_trigger g where g.tgrelid = leaf and g.tgname = 'realtime_truncate') then
      execute format('create trigger realtime_truncate after truncate on %s '
                     'for each statement execute function realtime.partition_truncated()', leaf);
    end if;
    execute format('alter table %s enable always trigger realtime_truncate', leaf);
    new := true;
  end loop;
  if new and current_setting('server_version_num')::int < 150000 then
    begin
      perform realtime.refresh_publication();
    exception when insufficient_privilege then  -- to call it
      raise warning 'realtime: rows of new partitions of % may not reach live queries yet', root
        using hint = 'As the owner of the schema realtime or a superuser: select realtime.refresh_publication();';
    end;
  end if;
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
  'As realtime.watch_partitions(). Where the owner of a partition has not granted the right, it warns and returns false instead of raising an error';
