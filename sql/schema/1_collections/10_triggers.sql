-- Triggers are made by sql/upkeep: CREATE OR REPLACE TRIGGER takes SHARE ROW EXCLUSIVE, which waits for every open transaction that has written to
-- the table and holds back new ones. On realtime.messages these are all publishers.

create or replace function realtime.leaves(root regclass) returns setof regclass
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- pg_partition_tree() locks every partition, so it waits for an ALTER TABLE that is open on one.
  with recursive members (oid) as (
    select root::oid
    union all
    select i.inhrelid from members m join pg_inherits i on i.inhparent = m.oid
    join pg_partitioned_table p on p.partrelid = m.oid
    where not i.inhdetachpending
  )
  select m.oid::regclass from members m where not exists (select from pg_partitioned_table p where p.partrelid = m.oid)
$$;
comment on function realtime.leaves(regclass) is 'The partitions of a table that hold rows; for a table that is not partitioned, the table itself. Waits for no lock';

create or replace function realtime.keep_trigger(relation regclass, name name, fires "char", definition text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (
    select from pg_trigger t
    where t.tgrelid = relation and t.tgname = keep_trigger.name and pg_get_triggerdef(t.oid) = definition
  ) then
    execute regexp_replace(definition, '^CREATE TRIGGER', 'CREATE OR REPLACE TRIGGER');
  elsif not exists (
    -- partitions have copies of row triggers
    select from pg_trigger t
    where t.tgname = keep_trigger.name and t.tgenabled <> fires
      and (t.tgrelid = relation or t.tgrelid in (select realtime.leaves(relation)))
  ) then
    return false;
  end if;
  execute format('alter table %s %s trigger %I', relation,
    case fires when 'A' then 'enable always' when 'R' then 'enable replica' when 'D' then 'disable' else 'enable' end, keep_trigger.name);
  raise info '% the trigger % on %', case fires when 'D' then 'disabled' else 'made or enabled' end, keep_trigger.name, relation;
  return true;
end
$$;
comment on function realtime.keep_trigger(regclass, name, "char", text) is
  'Makes a trigger, or enables it again, unless it is as pg_get_triggerdef() would write it and fires as wanted '
  '(O: ordinary, A: always, R: only in an apply worker, D: never, as in pg_trigger.tgenabled). Returns false, and takes no lock, where nothing differs';
