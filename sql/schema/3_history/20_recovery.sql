-- After a restore: into another cluster, or of this one to an earlier moment. Positions that clients still have may mean something else now, so
-- the epoch that goes with them changes.

create or replace function realtime.adopt_cluster() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp set jit = off as $$
declare
  here text := (select system_identifier::text from pg_control_system());
  line text := left(pg_walfile_name(pg_current_wal_lsn()), 8);
  today pg_lsn;
  known realtime.settings;
begin
  perform from realtime.settings s where s.system_identifier = here and s.timeline = line;
  if found then
    return false;
  end if;
  select * into known from realtime.settings for update;  -- several servers may start at once
  if known.system_identifier = here and known.timeline = line then
    return false;
  elsif known.system_identifier = here then
    if known.timeline is not null then
      -- The same cluster on another timeline. What is recorded was in the WAL before they parted, so up to there positions are the same.
      insert into realtime.epochs (epoch, ended, parted, before_xid)
      select known.epoch, coalesce(max(c."position"), '0/0'), (known.timelines ->> known.timeline)::pg_lsn - 1, pg_snapshot_xmax(pg_current_snapshot())
      from realtime.commits c
      on conflict do nothing;
      update realtime.settings set epoch = left(md5(gen_random_uuid()::text), 12);
    end if;
    update realtime.settings set timeline = line;
    return known.timeline is not null;
  end if;
  lock table realtime.messages in share row exclusive mode;
  today := pg_current_wal_insert_lsn();
  -- Ids of the old cluster may come again in this one. 2 is the id that PostgreSQL gives to frozen rows: visible to all, never given out.
  update realtime.messages m set xid = '2' where m.xid <> '2';
  truncate realtime.commits, realtime.expired, realtime.message_ids, realtime.dropped_days, realtime.epochs;
  insert into realtime.commits (channel, xid, "position", first_at, last_at)
  select m.channel, '2', today, min(m.inserted_at), max(m.inserted_at) from realtime.messages m group by 1;
  -- For clients that do not send the epoch: every position they have is before this, or in the future of this cluster.
  insert into realtime.expired (channel, "position", seq) values ('', today - 1, 0);
  -- Servers of the old cluster have no slot here; those that have one are running already, this one among them.
  delete from realtime.slots o
  where not exists (select from pg_replication_slots s where s.slot_name = o.name and s.database = current_database());
  -- Workers have no slot: they follow the one of their relay, whose name theirs begin with.
  delete from realtime.nodes n where not exists (select from realtime.slots o where o.node = n.id or starts_with(n.id, o.node || '_'));
  -- Nor are they nodes of this cluster that went without a stop, for which an alert would be raised.
  delete from realtime.lost_nodes;
  delete from realtime.alert_pending;
  update realtime.settings set system_identifier = here, timeline = line, timelines = null, epoch = left(md5(gen_random_uuid()::text), 12);
  return true;
end
$$;
comment on function realtime.adopt_cluster() is
  'Servers call this when they start and after a gap in the stream. After a restore into another cluster positions and transaction ids of the old '
  'one mean nothing: messages are kept in the order in which they were written, and every client starts over. After a restore to an earlier '
  'moment, or the promotion of a standby, positions that realtime.commits did not have before are given up. Returns true if it found such a case';

create or replace function realtime.note_timelines(ended jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  update realtime.settings s set timelines = note_timelines.ended
  where s.timelines is distinct from note_timelines.ended
    and s.system_identifier = (select c.system_identifier::text from pg_control_system() c)
$$;
comment on function realtime.note_timelines(jsonb) is
  'Servers that read the WAL call this with where the timelines before the present one have ended, before realtime.adopt_cluster()';

create or replace function realtime.extend_epochs(exact boolean) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp set jit = off as $$
begin
  if not exact then
    update realtime.epochs e set parted = null where e.parted > e.ended;
    return;
  end if;
  update realtime.epochs e set ended = e.parted
  where e.parted > e.ended
    and not exists (select from realtime.messages m
                    where m.xid < e.before_xid and not exists (select from realtime.commits c where c.channel = m.channel and c.xid = m.xid));
end
$$;
comment on function realtime.extend_epochs(boolean) is
  'Positions of an earlier epoch are good up to where the histories parted, once all messages from before have their true positions: exact looks '
  'whether they have. Not exact: some are about to get others, so what is not good yet will not be';

create or replace function realtime.epoch() returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select s.epoch from realtime.settings s
  where s.system_identifier = (select c.system_identifier::text from pg_control_system() c)
    -- A standby has no timeline of its own; it follows the one of the epoch.
    and (s.timeline is null or case when pg_is_in_recovery() then true else s.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8) end)
$$;
comment on function realtime.epoch() is
  'The epoch that positions belong to now. Positions of another epoch are not to be compared with today''s. Null: this database was restored or '
  'promoted, and no server has adopted it since (realtime.adopt_cluster())';
