-- When the rows of this schema come by logical replication from another cluster (an upgrade with two clusters, AWS blue/green): positions,
-- transaction ids, nodes and the rows that refer to them mean nothing here. An apply worker, and tools like AWS DMS, write with
-- session_replication_role = replica; these triggers fire only then (sql/upkeep/30_triggers.sql).

create or replace function realtime.skip_replicated() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  return null;
end
$$;
comment on function realtime.skip_replicated() is
  'Trigger function: skips rows about the WAL, nodes and connections of another cluster. The servers here write their own';

drop function if exists realtime.leave_out() cascade;  -- with its triggers: the name of before

create or replace function realtime.take_local_xid() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  new.xid := pg_current_xact_id();
  return new;
end
$$;
comment on function realtime.take_local_xid() is
  'Trigger function: a message that was replicated from another cluster is one of the transaction that writes it here, and has its position';
