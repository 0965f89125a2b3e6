-- Rooms that announce when they become occupied and vacated: triggers on realtime.presence, which are disabled while no room does.

create or replace function realtime.occupancy_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  room record;
begin
  for room in
    select c.channel as name, c.connections, c.users, o.channel as target
    from (select channel, count(*) as connections, count(distinct user_id) as users from changed group by channel) c
    cross join lateral (
      select o.channel from realtime.occupancy o where realtime.name_matches(c.channel, o.pattern)
      order by o.pattern = c.channel desc, length(o.pattern) desc limit 1
    ) o
    order by c.channel
  loop
    -- One transaction at a time for each room: the next one looks after this one has committed, and sees what it did.
    perform pg_advisory_xact_lock(hashtextextended('realtime.occupancy ' || room.name, 0));
    if tg_op = 'INSERT' then
      continue when (select count(*) from (select from realtime.presence p where p.channel = room.name limit room.connections + 1) p) > room.connections;
    else
      continue when exists (select from realtime.presence p where p.channel = room.name);
    end if;
    -- A channel that cannot be published to is no reason to refuse a join.
    continue when not exists (select from realtime.channel_rules(array[room.target]) r where r.available);
    perform realtime.broadcast(room.target, case tg_op when 'INSERT' then 'room:occupied' else 'room:vacated' end,
      jsonb_build_object('channel', room.name, 'count', case tg_op when 'INSERT' then room.users else 0 end));
  end loop;
  return null;
end
$$;
comment on function realtime.occupancy_changed() is
  'Trigger function: publishes room:occupied with the first members of a channel, and room:vacated without the last one, where realtime.occupancy has the channel';

create or replace function realtime.keep_occupancy() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  fires "char" := case when exists (select from realtime.occupancy) then 'A' else 'D' end;
begin
  perform realtime.keep_trigger('realtime.presence', 'room_occupied', fires,
    'CREATE TRIGGER room_occupied AFTER INSERT ON realtime.presence REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION realtime.occupancy_changed()');
  perform realtime.keep_trigger('realtime.presence', 'room_vacated', fires,
    'CREATE TRIGGER room_vacated AFTER DELETE ON realtime.presence REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION realtime.occupancy_changed()');
end
$$;
comment on function realtime.keep_occupancy() is 'Makes the triggers that announce occupancy, and enables them while realtime.occupancy has rows';

create or replace function realtime.announce_occupancy(pattern text, channel text default 'occupancy') returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  problem text := case when pattern is null or length(pattern) not between 1 and 255 then 'a pattern has 1 to 255 characters'
                       else realtime.name_problem(channel) end;
begin
  if problem is not null then
    raise exception '%', problem using errcode = 'RT007';
  end if;
  lock table realtime.occupancy in share row exclusive mode;  -- triggers and rows change together
  insert into realtime.occupancy as o (pattern, channel) values (announce_occupancy.pattern, announce_occupancy.channel)
  on conflict on constraint occupancy_pkey do update set channel = excluded.channel;
  perform realtime.keep_occupancy();
end
$$;
comment on function realtime.announce_occupancy(text, text) is
  'Publish room:occupied to a channel when the first member comes to a channel that the pattern matches, and room:vacated when the last one '
  'has gone, in the transaction that changes presence. To be called by the owner of the schema';

create or replace function realtime.silence_occupancy(pattern text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  removed boolean;
begin
  lock table realtime.occupancy in share row exclusive mode;
  delete from realtime.occupancy o where o.pattern = silence_occupancy.pattern;
  removed := found;
  perform realtime.keep_occupancy();
  return removed;
end
$$;
comment on function realtime.silence_occupancy(text) is 'Take realtime.announce_occupancy() back for a pattern. Returns whether there was one';
