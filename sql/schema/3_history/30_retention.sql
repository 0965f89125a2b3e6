-- Makes partitions ahead and removes expired messages. Servers call these at intervals; each call is a short transaction, does a limited
-- amount of work, and gives up rather than make publishers wait. Days are days in UTC, whatever the time zone of the session.
-- The functions that a server calls run as their owner, the owner of the tables; they take no names from the caller.

create or replace function realtime.partition_days() returns table (partition regclass, from_at timestamptz, to_at timestamptz)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select c.oid::regclass, to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp at time zone 'UTC',
         (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC'
  from pg_inherits i join pg_class c on c.oid = i.inhrelid
  where i.inhparent = 'realtime.messages'::regclass and c.relname ~ '^messages_[0-9]{8}$'
  order by 2
$$;
comment on function realtime.partition_days() is 'The partitions of realtime.messages and the days (UTC) they are for';

create or replace function realtime.make_partitions(days integer default 3) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
declare
  today date := (now() at time zone 'UTC')::date;
  day date;
  name text;
  made integer := 0;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('bunbase realtime partitions', 0)) then
    return 0;  -- another session makes them
  end if;
  for day in select today + n from generate_series(0, least(days, 366)) n loop
    name := 'messages_' || to_char(day, 'YYYYMMDD');
    continue when to_regclass('realtime.' || name) is not null;
    -- Rows that came before their partition stay where they are; they expire there.
    continue when exists (
      select from realtime.messages_default m
      where m.inserted_at >= day::timestamp at time zone 'UTC' and m.inserted_at < (day + 1)::timestamp at time zone 'UTC'
    );
    -- Attached, not created in place: that would lock out all publishers.
    execute format('create table realtime.%I (like realtime.messages including defaults including constraints)', name);
    execute format('alter table realtime.messages attach partition realtime.%I for values from (%L) to (%L)', name,
      day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
    made := made + 1;
  end loop;
  return made;
exception when lock_not_available then
  return 0;  -- a reader holds the default partition; there are days left to try again
end
$$;
comment on function realtime.make_partitions(integer) is
  'Make the partitions of realtime.messages for today and that many days ahead (at most 366). Returns how many were made';

create or replace function realtime.channels_in(partition regclass) returns setof text
language plpgsql stable set search_path = pg_catalog, pg_temp set jit = off as $$
begin
  -- From one channel to the next along the index, however many messages each has.
  return query execute format(
    'with recursive c (channel) as (
       (select m.channel from %1$s m order by m.channel limit 1)
       union all
       select (select m.channel from %1$s m where m.channel > c.channel order by m.channel limit 1) from c where c.channel is not null
     ) select c.channel from c where c.channel is not null', partition);
end
$$;
comment on function realtime.channels_in(regclass) is 'The channels that have messages in a partition (or in realtime.messages)';

create or replace function realtime.drop_partition(partition regclass, from_at timestamptz, to_at timestamptz) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '10ms' set jit = off as $$
begin
  insert into realtime.expired as e (channel, "position", seq)
  select '', max(c."position"), 999999999999999999
  from realtime.commits c
  where c.last_at >= drop_partition.from_at and c.last_at < drop_partition.to_at + interval '1 day' and c.first_at < drop_partition.to_at
  having max(c."position") is not null
  on conflict on constraint expired_pkey do update
    set "position" = greatest(e."position", excluded."position"), seq = excluded.seq;
  insert into realtime.dropped_days values (drop_partition.from_at, drop_partition.to_at) on conflict do nothing;
  -- While this lock waits for open transactions that have published, new publishers wait behind it. DETACH CONCURRENTLY would avoid that, but
  -- PostgreSQL has it only for tables without a default partition.
  execute format('drop table %s', partition);
  return true;
exception when lock_not_available then
  return false;
end
$$;
comment on function realtime.drop_partition(regclass, timestamptz, timestamptz) is
  'Drop one day. Gives up after 10 ms of waiting for transactions that published; then nothing has changed, and no lock is held. Returns whether it was dropped';

create or replace function realtime.drop_partitions() returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp set jit = off as $$
declare
  day record;
  dropped integer := 0;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('bunbase realtime partitions', 0)) then
    return 0;
  end if;
  for day in select * from realtime.partition_days() d where d.to_at <= now() loop
    continue when exists (
      select from realtime.channel_rules(array(select realtime.channels_in(day.partition))) r
      where r.history and (r.ttl is null or day.to_at > now() - r.ttl)
    );
    exit when not realtime.drop_partition(day.partition, day.from_at, day.to_at);
    dropped := dropped + 1;
    exit;  -- its locks are held until the end of this transaction
  end loop;
  return dropped;
end
$$;
comment on function realtime.drop_partitions() is
  'Drop the oldest day of realtime.messages in which every message is older than the ttl of its channel. Gives up after 10 ms of waiting for '
  'transactions that published: call it again. Returns how many were dropped; 1: there may be more';

create or replace function realtime.note_expired(channel text, "position" pg_lsn, seq bigint) returns void
language sql set search_path = pg_catalog, pg_temp as $$
  insert into realtime.expired as e (channel, "position", seq)
  select channel, "position", seq where "position" is not null
  on conflict on constraint expired_pkey do update set "position" = excluded."position", seq = excluded.seq
  where (excluded."position", excluded.seq) > (e."position", e.seq)
$$;
comment on function realtime.note_expired(text, pg_lsn, bigint) is 'Messages of a channel up to this position have been removed';

create or replace function realtime.expire_channel(channel text, before timestamptz, most integer) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set jit = off as $$
#variable_conflict use_variable
declare
  removed integer;
begin
  with deleted as (
    delete from realtime.messages m
    using (select inserted_at, seq from realtime.messages m
           where m.channel = expire_channel.channel and m.inserted_at < before limit most) d
    where m.inserted_at = d.inserted_at and m.seq = d.seq
    returning m.xid, m.seq
  ), last as (
    select c."position", g.seq from deleted g join realtime.commits c on c.channel = expire_channel.channel and c.xid = g.xid
    order by 1 desc, 2 desc limit 1
  ), noted as (
    select realtime.note_expired(expire_channel.channel, l."position", l.seq) from last l
  )
  select count(*) from deleted left join noted on true into removed;
  delete from realtime.commits c
  where c.channel = expire_channel.channel and c.xid in (
    select c.xid from realtime.commits c
    where c.channel = expire_channel.channel and c.last_at < before
      and not exists (select from realtime.messages m where m.channel = c.channel and m.xid = c.xid
                      and m.inserted_at between c.first_at and c.last_at)
    limit most
  );
  return removed;
end
$$;
comment on function realtime.expire_channel(text, timestamptz, integer) is 'Remove messages of one channel older than a time; at most "most" of them';

create or replace function realtime.trim_channel(channel text, keep integer, most integer) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set jit = off as $$
#variable_conflict use_variable
declare
  last record;
  removed integer;
begin
  select c."position", m.seq into last
  from realtime.commits c
  cross join lateral (select m.seq from realtime.messages m
                      where m.channel = c.channel and m.xid = c.xid and m.inserted_at between c.first_at and c.last_at order by m.seq desc) m
  where c.channel = trim_channel.channel order by c."position" desc, m.seq desc offset keep limit 1;
  if not found then
    return 0;
  end if;
  -- The mark first: it is right even if only a part can be removed now.
  perform realtime.note_expired(channel, last."position", last.seq);
  delete from realtime.messages m using (
    select m.inserted_at, m.seq
    from realtime.commits c
    join realtime.messages m on m.channel = c.channel and m.xid = c.xid and m.inserted_at between c.first_at and c.last_at
    where c.channel = trim_channel.channel and (c."position" < last."position" or c."position" = last."position" and m.seq <= last.seq)
    limit most
  ) d where m.inserted_at = d.inserted_at and m.seq = d.seq;
  get diagnostics removed = row_count;
  delete from realtime.commits c
  where c.channel = trim_channel.channel and c."position" <= last."position"
    and not exists (select from realtime.messages m where m.channel = c.channel and m.xid = c.xid
                    and m.inserted_at between c.first_at and c.last_at);
  return removed;
end
$$;
comment on function realtime.trim_channel(text, integer, integer) is
  'Keep the newest messages of a channel and remove at most "most" of the others. Messages without a recorded commit count as the newest';

create or replace function realtime.expire_messages(most integer default 10000) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp set jit = off as $$
declare
  part record;
  due record;
  shortest interval;
  removed integer := 0;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('bunbase realtime expiry', 0)) then
    return 0;
  end if;
  shortest := (select min(t.ttl) from (select ttl from realtime.channels union all select ttl from realtime.channel_defaults) t);
  -- Days that have expired for one channel but not for others, and messages that came before their partition.
  for part in
    select d.partition, d.to_at from realtime.partition_days() d where d.to_at <= now() - shortest
    union all select 'realtime.messages_default', '-infinity'
  loop
    for due in
      select r.name, now() - r.ttl as before
      from realtime.channel_rules(array(select realtime.channels_in(part.partition))) r where part.to_at <= now() - r.ttl
    loop
      removed := removed + realtime.expire_channel(due.name, due.before, most - removed);
      if removed >= most then
        return removed;
      end if;
    end loop;
  end loop;
  -- Channels with a ttl under a day, and channels without history.
  for due in
    select r.name, case when r.history then now() - r.ttl else now() end as before
    from realtime.channel_rules(array(
      select c.name from realtime.channels c where c.ttl < interval '1 day' or not c.history
      union select realtime.channels_in('realtime.messages')
            where exists (select from realtime.channel_defaults d where d.ttl < interval '1 day' or not d.history))) r
    where r.ttl < interval '1 day' or not r.history
  loop
    removed := removed + realtime.expire_channel(due.name, due.before, most - removed);
    if removed >= most then
      return removed;
    end if;
  end loop;
  for due in
    select r.name, r.max_messages
    from realtime.channel_rules(array(
      select c.name from realtime.channels c where c.max_messages is not null
      union select realtime.channels_in('realtime.messages')
            where exists (select from realtime.channel_defaults d where d.max_messages is not null))) r
    where r.max_messages is not null
  loop
    removed := removed + realtime.trim_channel(due.name, due.max_messages, most - removed);
    if removed >= most then
      return removed;
    end if;
  end loop;
  return removed + realtime.expire_commits(most) + realtime.expire_ids(most);
end
$$;
comment on function realtime.expire_messages(integer) is
  'Remove messages beyond the ttl or the max_messages of their channel where dropping a whole day does not do it, with what '
  'belongs to them; at most "most" of each kind. Returns the number; call it again soon if that is "most"';

create or replace function realtime.expire_commits(most integer) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set jit = off as $$
declare
  day realtime.dropped_days;
  removed integer := 0;
  portion integer;
begin
  for day in select * from realtime.dropped_days order by from_at loop
    delete from realtime.commits c
    where (c.channel, c.xid) in (
      select c.channel, c.xid from realtime.commits c
      where c.last_at >= day.from_at and c.last_at < day.to_at
        and not exists (select from realtime.messages m where m.channel = c.channel and m.xid = c.xid
                        and m.inserted_at between c.first_at and c.last_at)
      limit most - removed
    );
    get diagnostics portion = row_count;
    removed := removed + portion;
    exit when removed >= most;
    -- A node that lags behind may still record commits of a day that is gone, but not for that long.
    delete from realtime.dropped_days d where d.from_at = day.from_at and d.to_at < now() - interval '7 days' and portion = 0;
  end loop;
  return removed;
end
$$;
comment on function realtime.expire_commits(integer) is 'Remove the commits of dropped days, at most "most"';

create or replace function realtime.expire_ids(most integer) returns integer
language plpgsql set search_path = pg_catalog, pg_temp set jit = off as $$
declare
  removed integer;
begin
  with recursive c (channel) as (
    (select k.channel from realtime.message_ids k order by 1 limit 1)
    union all
    select (select k.channel from realtime.message_ids k where k.channel > c.channel order by 1 limit 1) from c where c.channel is not null
  ), rules as materialized (
    select r.name, r.ttl from realtime.channel_rules(array(select channel from c where channel is not null)) r where r.ttl is not null
  )
  delete from realtime.message_ids k
  where (k.channel, k.id, k.scope) in (
    select k.channel, k.id, k.scope from realtime.message_ids k join rules r on r.name = k.channel
    where k.inserted_at < now() - (select min(ttl) from rules) and k.inserted_at < now() - r.ttl
    limit most
  );
  get diagnostics removed = row_count;
  return removed;
end
$$;
comment on function realtime.expire_ids(integer) is 'Forget the message ids that are as old as their channel''s messages get, at most "most"';

create or replace function realtime.expire_kicks(most integer default 10000) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp set jit = off as $$
declare
  removed integer;
begin
  delete from realtime.kicks k where k.id in (
    select o.id from realtime.kicks o where o.kicked_at < now() - interval '1 day' order by o.kicked_at limit most for update skip locked
  );
  get diagnostics removed = row_count;
  return removed;
end
$$;
comment on function realtime.expire_kicks(integer) is
  'Remove rows of realtime.kicks that are older than a day, which no server reads any more; at most "most". Returns the number';

-- So that the first message has its partition; the servers go on from here.
select realtime.make_partitions();
