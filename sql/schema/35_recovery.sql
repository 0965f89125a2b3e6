-- After a dump was restored into another cluster.

create or replace function realtime.adopt_cluster() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  here text := (select system_identifier::text from pg_control_system());
  today pg_lsn := pg_current_wal_insert_lsn();
begin
  perform from realtime.settings s where s.system_identifier = here;
  if found then
    return false;
  end if;
  lock table realtime.messages in share row exclusive mode;
  perform from realtime.settings s where s.system_identifier = here;
  if found then
    return false;
  end if;
  -- Ids of the old cluster may come again in this one. 2 is the id that PostgreSQL gives to frozen rows: visible to all, never given out.
  update realtime.messages m set xid = '2' where m.xid <> '2';
  truncate realtime.commits, realtime.expired, realtime.message_ids, realtime.dropped_days;
  insert into realtime.commits (channel, xid, "position", first_at, last_at)
  select m.channel, '2', today, min(m.inserted_at), max(m.inserted_at) from realtime.messages m group by 1;
  -- Every position that a client still has is before this, or in the future of this cluster.
  insert into realtime.expired (channel, "position", seq) values ('', today - 1, 0);
  delete from realtime.connections;
  delete from realtime.nodes;
  update realtime.settings set system_identifier = here;
  return true;
end
$$;
comment on function realtime.adopt_cluster() is
  'After a dump was restored into another cluster: positions and transaction ids of the old one mean nothing here. Keeps the messages in the '
  'order in which they were written, and lets every client start anew. True: it was another cluster';
