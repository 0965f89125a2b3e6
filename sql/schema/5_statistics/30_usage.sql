-- Analytics are counted by nodes (server/analytics) and kept in minutes, hours and days, all in UTC and by the clock of the database.
-- Rules: sums of a node are added once (usage_nodes). Every node sees all messages, in a cluster the relay does, so of those the largest number counts
-- and not the sum.
-- Distinct users are a sample of their hashes that can be united (k minimum values: Bar-Yossef et al., "Counting distinct elements in a data
-- stream", 2002): exact below 1,024 users, above with a standard error of 1 / sqrt(1022), which is 3.1 %.

create or replace function realtime.smallest_hashes(hashes bigint[]) returns bigint[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(s.hash order by s.hash), '{}') from (select distinct h.hash from unnest(hashes) h (hash) order by h.hash limit 1024) s
$$;
comment on function realtime.smallest_hashes(bigint[]) is 'The sample of a set of hashes: its 1,024 smallest, ascending';

create or replace function realtime.distinct_users(hashes bigint[]) returns integer
language sql immutable set search_path = pg_catalog, pg_temp as $$
  -- Hashes are numbers from 0 to 2^63 - 1.
  select case when coalesce(cardinality(hashes), 0) < 1024 then coalesce(cardinality(hashes), 0)
              else least(round(1023 / ((hashes[1024]::float8 + 1) / 2::float8 ^ 63)), 2147483647)::integer end
$$;
comment on function realtime.distinct_users(bigint[]) is 'How many users a sample of realtime.smallest_hashes() stands for';

create or replace function realtime.daily_salts(now timestamptz default clock_timestamp()) returns table (day date, salt bytea)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  today constant date := (daily_salts.now at time zone 'UTC')::date;
begin
  delete from realtime.usage_salts s where s.day < today;
  insert into realtime.usage_salts (day, salt)
  select today + n.n, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
  from generate_series(0, 1) n (n) where not exists (select from realtime.usage_salts s where s.day = today + n.n)
  on conflict do nothing;
  return query select s.day, s.salt from realtime.usage_salts s where s.day in (today, today + 1);
end
$$;
comment on function realtime.daily_salts(timestamptz) is
  'With what nodes hash users today and tomorrow: made if they are missing, while those of earlier days are dropped. For nodes';

create or replace function realtime.add_usage(node_id text, run text, batch bigint, "position" pg_lsn, minutes jsonb, now timestamptz default clock_timestamp())
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  insert into realtime.usage_nodes as n (node_id, run, batch, "position", written_at)
  values (add_usage.node_id, add_usage.run, add_usage.batch, add_usage."position", add_usage.now)
  on conflict (node_id) do update
    set run = excluded.run, batch = excluded.batch, "position" = coalesce(excluded."position", n."position"), written_at = excluded.written_at
    where n.run <> excluded.run or n.batch < excluded.batch;
  if not found then
    return false;  -- its commit has succeeded although the node did not learn that
  end if;
  -- Hours that were rolled up long ago stay as they are: their minutes may be gone. Nodes keep less than that.
  with given as materialized (
    select to_timestamp(g.minute * 60) as at, g.*
    from jsonb_to_recordset(add_usage.minutes) g (
      minute bigint, users integer, users_of_hour integer, users_of_day integer, sessions bigint, sessions_ended bigint, session_seconds double precision,
      connections integer, messages_in bigint, messages_out bigint, published bigint, active_channels integer,
      hashes bigint[], channels jsonb, countries jsonb)
    where to_timestamp(g.minute * 60) > add_usage.now - interval '6 hours' and to_timestamp(g.minute * 60) < add_usage.now + interval '1 hour'
  ), totals as (
    insert into realtime.usage_totals as t (bucket, at, node_id, users, users_of_hour, users_of_day, sessions, sessions_ended, session_seconds, connections,
                                            messages_in, messages_out, published, channels, written_at)
    select 'minute', g.at, add_usage.node_id, g.users, g.users_of_hour, g.users_of_day, g.sessions, g.sessions_ended, g.session_seconds, g.connections,
           g.messages_in, g.messages_out, g.published, g.active_channels, add_usage.now
    from given g
    on conflict (bucket, at, node_id) do update
      set users = greatest(t.users, excluded.users), users_of_hour = t.users_of_hour + excluded.users_of_hour,
          users_of_day = t.users_of_day + excluded.users_of_day, sessions = t.sessions + excluded.sessions,
          sessions_ended = t.sessions_ended + excluded.sessions_ended, session_seconds = t.session_seconds + excluded.session_seconds,
          connections = greatest(t.connections, excluded.connections), messages_in = t.messages_in + excluded.messages_in,
          messages_out = t.messages_out + excluded.messages_out, published = t.published + excluded.published,
          channels = greatest(t.channels, excluded.channels), rolled_up = false, written_at = excluded.written_at
  ), channels as (
    insert into realtime.usage_channels as c (bucket, at, channel, node_id, messages, subscribers)
    select 'minute', g.at, k.key, add_usage.node_id, (k.value ->> 0)::bigint, (k.value ->> 1)::integer
    from given g, jsonb_each(g.channels) k
    on conflict (bucket, at, channel, node_id) do update
      set messages = c.messages + excluded.messages, subscribers = greatest(c.subscribers, excluded.subscribers)
  ), countries as (
    insert into realtime.usage_countries as c (bucket, at, country, node_id, sessions)
    select 'minute', g.at, k.key, add_usage.node_id, k.value::bigint
    from given g, jsonb_each_text(g.countries) k
    on conflict (bucket, at, country, node_id) do update set sessions = c.sessions + excluded.sessions
  )
  -- Nodes that write the same minutes take their locks in the same order.
  insert into realtime.usage_users as u (bucket, at, users, hashes)
  select 'minute', g.at, realtime.distinct_users(realtime.smallest_hashes(g.hashes)), realtime.smallest_hashes(g.hashes)
  from given g where cardinality(g.hashes) > 0
  order by g.at
  on conflict (bucket, at) do update
    set hashes = realtime.smallest_hashes(coalesce(u.hashes, '{}') || excluded.hashes),
        users = greatest(u.users, realtime.distinct_users(realtime.smallest_hashes(coalesce(u.hashes, '{}') || excluded.hashes)));
  return true;
end
$$;
comment on function realtime.add_usage(text, text, bigint, pg_lsn, jsonb, timestamptz) is
  'Adds what a node has counted. run: its process; batch: the number of the write in it; position: the commit up to which messages are counted. false: this write was added before. For nodes';

create or replace function realtime.roll_up_users(bucket text, source text, length interval, starts timestamptz[]) returns void
language sql set search_path = pg_catalog, pg_temp as $$
  insert into realtime.usage_users as u (bucket, at, users, hashes)
  select roll_up_users.bucket, b.at, realtime.distinct_users(s.hashes), s.hashes
  from unnest(roll_up_users.starts) b (at)
  cross join lateral (
    select array_agg(d.hash order by d.hash) as hashes from (
      select distinct k.hash from realtime.usage_users p, unnest(p.hashes) k (hash)
      where p.bucket = roll_up_users.source and p.at >= b.at and p.at < b.at + roll_up_users.length order by k.hash limit 1024) d) s
  where s.hashes is not null
  on conflict (bucket, at) do update set users = excluded.users, hashes = excluded.hashes
$$;
comment on function realtime.roll_up_users(text, text, interval, timestamptz[]) is
  'Makes the distinct users of buckets of that length, which begin then, of those of the source''s buckets. For realtime.roll_up_hours() and realtime.roll_up_days()';

create or replace function realtime.roll_up_countries(bucket text, source text, length interval, starts timestamptz[]) returns void
language sql set search_path = pg_catalog, pg_temp as $$
  delete from realtime.usage_countries c where c.bucket = roll_up_countries.bucket and c.at = any (roll_up_countries.starts);
  insert into realtime.usage_countries (bucket, at, country, sessions)
  select roll_up_countries.bucket, b.at, p.country, sum(p.sessions)
  from unnest(roll_up_countries.starts) b (at)
  join realtime.usage_countries p on p.bucket = roll_up_countries.source and p.at >= b.at and p.at < b.at + roll_up_countries.length
  group by b.at, p.country
$$;
comment on function realtime.roll_up_countries(text, text, interval, timestamptz[]) is
  'Makes the countries of buckets of that length, which begin then, of those of the source''s buckets. For realtime.roll_up_hours() and realtime.roll_up_days()';

create or replace function realtime.roll_up_hours(hours timestamptz[], now timestamptz, channels integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform realtime.roll_up_users('hour', 'minute', interval '1 hour', roll_up_hours.hours);

  insert into realtime.usage_totals as t (bucket, at, users, users_of_day, sessions, sessions_ended, session_seconds, connections, messages_in, messages_out,
                                          published, channels, written_at)
  select 'hour', h.at, coalesce(max(u.users), 0) + sum(m.users_of_hour), sum(m.users_of_day), sum(m.sessions), sum(m.sessions_ended), sum(m.session_seconds),
         max(m.connections), sum(m.messages_in), sum(m.messages_out), sum(m.published), max(m.channels), roll_up_hours.now
  from unnest(roll_up_hours.hours) h (at)
  cross join lateral (
    select m.at, sum(m.users_of_hour) as users_of_hour, sum(m.users_of_day) as users_of_day, sum(m.sessions) as sessions, sum(m.sessions_ended) as sessions_ended,
           sum(m.session_seconds) as session_seconds, sum(m.connections) as connections, sum(m.messages_in) as messages_in,
           sum(m.messages_out) as messages_out, max(m.published) as published, max(m.channels) as channels
    from realtime.usage_totals m where m.bucket = 'minute' and m.at >= h.at and m.at < h.at + interval '1 hour' group by m.at) m
  left join realtime.usage_users u on u.bucket = 'hour' and u.at = h.at
  group by h.at
  on conflict (bucket, at, node_id) do update
    set users = excluded.users, users_of_day = excluded.users_of_day, sessions = excluded.sessions, sessions_ended = excluded.sessions_ended,
        session_seconds = excluded.session_seconds, connections = excluded.connections, messages_in = excluded.messages_in,
        messages_out = excluded.messages_out, published = excluded.published, channels = excluded.channels, rolled_up = false,
        written_at = excluded.written_at;

  delete from realtime.usage_channels c where c.bucket = 'hour' and c.at = any (roll_up_hours.hours);
  insert into realtime.usage_channels (bucket, at, channel, messages, subscribers)
  select 'hour', r.hour, r.channel, r.messages, r.subscribers
  from (
    select h.at as hour, c.channel, sum(c.messages) as messages, max(c.subscribers) as subscribers,
           row_number() over (partition by h.at order by sum(c.messages) desc, max(c.subscribers) desc, c.channel) as place
    from unnest(roll_up_hours.hours) h (at)
    cross join lateral (
      select c.at, c.channel, max(c.messages) as messages, sum(c.subscribers) as subscribers
      from realtime.usage_channels c where c.bucket = 'minute' and c.at >= h.at and c.at < h.at + interval '1 hour' group by c.at, c.channel) c
    group by h.at, c.channel
  ) r
  where r.place <= roll_up_hours.channels;

  perform realtime.roll_up_countries('hour', 'minute', interval '1 hour', roll_up_hours.hours);
end
$$;
comment on function realtime.roll_up_hours(timestamptz[], timestamptz, integer) is 'Makes hours of their minutes, with so many channels each. For realtime.roll_up_usage()';

create or replace function realtime.roll_up_days(days timestamptz[], now timestamptz, channels integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform realtime.roll_up_users('day', 'hour', interval '24 hours', roll_up_days.days);

  insert into realtime.usage_totals as t (bucket, at, users, sessions, sessions_ended, session_seconds, connections, messages_in, messages_out, published,
                                          channels, written_at)
  select 'day', d.at, coalesce(max(u.users), 0) + sum(h.users_of_day), sum(h.sessions), sum(h.sessions_ended), sum(h.session_seconds), max(h.connections),
         sum(h.messages_in), sum(h.messages_out), sum(h.published), max(h.channels), roll_up_days.now
  from unnest(roll_up_days.days) d (at)
  join realtime.usage_totals h on h.bucket = 'hour' and h.at >= d.at and h.at < d.at + interval '24 hours'
  left join realtime.usage_users u on u.bucket = 'day' and u.at = d.at
  group by d.at
  on conflict (bucket, at, node_id) do update
    set users = excluded.users, sessions = excluded.sessions, sessions_ended = excluded.sessions_ended, session_seconds = excluded.session_seconds,
        connections = excluded.connections, messages_in = excluded.messages_in, messages_out = excluded.messages_out, published = excluded.published,
        channels = excluded.channels, written_at = excluded.written_at;

  delete from realtime.usage_channels c where c.bucket = 'day' and c.at = any (roll_up_days.days);
  insert into realtime.usage_channels (bucket, at, channel, messages, subscribers)
  select 'day', r.day, r.channel, r.messages, r.subscribers
  from (
    select d.at as day, c.channel, sum(c.messages) as messages, max(c.subscribers) as subscribers,
           row_number() over (partition by d.at order by sum(c.messages) desc, max(c.subscribers) desc, c.channel) as place
    from unnest(roll_up_days.days) d (at)
    join realtime.usage_channels c on c.bucket = 'hour' and c.at >= d.at and c.at < d.at + interval '24 hours'
    group by d.at, c.channel
  ) r
  where r.place <= roll_up_days.channels;

  perform realtime.roll_up_countries('day', 'hour', interval '24 hours', roll_up_days.days);
end
$$;
comment on function realtime.roll_up_days(timestamptz[], timestamptz, integer) is 'Makes days of their hours, with so many channels each. For realtime.roll_up_usage()';

create or replace function realtime.forget_usage(now timestamptz, minutes interval, hours interval, days interval) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  level record;
begin
  -- Whole hours of minutes and whole days of hours: what is rolled up again needs all of them.
  for level in values ('minute', date_trunc('hour', forget_usage.now - forget_usage.minutes, 'UTC')),
                      ('hour', date_trunc('day', forget_usage.now - forget_usage.hours, 'UTC')),
                      ('day', date_trunc('day', forget_usage.now - forget_usage.days, 'UTC')) loop
    delete from realtime.usage_totals t where t.bucket = level.column1 and t.at < level.column2;
    delete from realtime.usage_users t where t.bucket = level.column1 and t.at < level.column2;
    delete from realtime.usage_channels t where t.bucket = level.column1 and t.at < level.column2;
    delete from realtime.usage_countries t where t.bucket = level.column1 and t.at < level.column2;
  end loop;
  -- The sums that a node may still bring are not older than six hours: see realtime.add_usage().
  update realtime.usage_users u set hashes = null
  where u.hashes is not null and u.at < date_trunc('day', forget_usage.now - interval '6 hours', 'UTC');
  delete from realtime.usage_nodes n where n.written_at < forget_usage.now - interval '7 days';
end
$$;
comment on function realtime.forget_usage(timestamptz, interval, interval, interval) is
  'Removes minutes, hours and days that are older than that, and the hashes of users of days that have ended. For realtime.roll_up_usage()';

create or replace function realtime.roll_up_usage(every interval, minutes interval, hours interval, days interval, channels integer,
                                                  now timestamptz default clock_timestamp()) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  changed timestamptz[];
begin
  if not pg_try_advisory_xact_lock(hashtextextended('bunbase realtime usage', 0)) or exists (
    select from realtime.usage_totals t where t.bucket = 'hour' and t.written_at > roll_up_usage.now - roll_up_usage.every
      and t.at >= date_trunc('hour', roll_up_usage.now, 'UTC') - interval '1 hour') then
    return false;  -- another node does it, or has just done it
  end if;
  -- Marked first: what is added from here on marks its minute again, and is part of the next pass.
  with marked as (
    update realtime.usage_totals t set rolled_up = true where t.bucket = 'minute' and not t.rolled_up returning t.at
  )
  select array_agg(distinct date_trunc('hour', m.at, 'UTC')) into changed from marked m;
  if changed is not null then
    perform realtime.roll_up_hours(changed, roll_up_usage.now, roll_up_usage.channels);
  end if;
  with marked as (
    update realtime.usage_totals t set rolled_up = true where t.bucket = 'hour' and not t.rolled_up returning t.at
  )
  select array_agg(distinct date_trunc('day', m.at, 'UTC')) into changed from marked m;
  if changed is not null then
    perform realtime.roll_up_days(changed, roll_up_usage.now, roll_up_usage.channels);
  end if;
  perform realtime.forget_usage(roll_up_usage.now, roll_up_usage.minutes, roll_up_usage.hours, roll_up_usage.days);
  return true;
end
$$;
comment on function realtime.roll_up_usage(interval, interval, interval, interval, integer, timestamptz) is
  'Makes hours of minutes and days of hours, where there is something new, and removes what is older than the three intervals; by one node at a time, and not more often than every interval. channels: how many of an hour or day are listed. Whether it was done. For nodes';

create or replace function realtime.clear_analytics() returns void
language sql set search_path = pg_catalog, pg_temp as $$
  delete from realtime.usage_totals;
  delete from realtime.usage_users;
  delete from realtime.usage_channels;
  delete from realtime.usage_countries;
  delete from realtime.usage_salts;
$$;
comment on function realtime.clear_analytics() is 'Removes all analytics. What nodes have counted since their last write is still added';
