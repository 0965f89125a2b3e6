-- Channels and rooms: the settings of a channel by its name; rooms are created, changed and closed.
--
-- Errors that clients know carry their code as SQLSTATE: RT003 not allowed, RT004 no such channel, RT005 too large, RT007 not valid,
-- RT008 full, RT009 presence refused.

create or replace function realtime.name_matches(name text, pattern text) returns boolean
language sql immutable strict parallel safe as $$
  -- No search_path is set so that it can be inlined; every operator is named with its schema instead.
  select case when pg_catalog.right(pattern, 1) operator(pg_catalog.=) '*'
              then pg_catalog.starts_with(name, pg_catalog.left(pattern, -1))
              else name operator(pg_catalog.=) pattern end
$$;
comment on function realtime.name_matches(text, text) is 'Whether a channel name matches a pattern: a * at the end stands for any text, all else for itself';

create or replace function realtime.channel_rules(names text[])
returns table (
  name text, room boolean, available boolean, closed boolean, capacity integer, history boolean, ttl interval, max_messages integer,
  presence_timeout interval, typing_timeout interval
)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select n.name, c.name is not null, c.name is not null and c.closed_at is null or c.name is null and coalesce(d.dynamic, false),
         c.closed_at is not null, c.capacity, coalesce(c.history, d.history, true), coalesce(c.ttl, d.ttl),
         coalesce(c.max_messages, d.max_messages),
         coalesce(c.presence_timeout, d.presence_timeout, interval '10 s'),
         coalesce(c.typing_timeout, d.typing_timeout, interval '5 s')
  from (select distinct name from unnest(names) name) n
  left join realtime.channels c on c.name = n.name
  left join lateral (
    select * from realtime.channel_defaults d where realtime.name_matches(n.name, d.pattern)
    order by d.pattern = n.name desc, length(d.pattern) desc limit 1
  ) d on true
$$;
comment on function realtime.channel_rules(text[]) is
  'What holds for each of these channels: its own row first, then the pattern of realtime.channel_defaults that is the name itself, '
  'then the longest one that matches. available: '
  'it can be subscribed to and published to; ttl and max_messages null: no limit';

create or replace function realtime.name_problem(name text) returns text
language sql immutable parallel safe as $$
  -- No search_path is set so that it can be inlined; every operator is named with its schema instead.
  select case
    when name is null or pg_catalog.length(name) operator(pg_catalog.<) 1 or pg_catalog.length(name) operator(pg_catalog.>) 255
      then 'a channel has a name of 1 to 255 characters'
    when name operator(pg_catalog.~) '[\x01-\x1f\x7f]'
      then pg_catalog.quote_literal(name) operator(pg_catalog.||) ' is no name for a channel: it has control characters'
    when pg_catalog.starts_with(name, 'db:')
      then pg_catalog.quote_literal(name) operator(pg_catalog.||) ' is no name for a channel: names that begin with db: are live queries'
    when name operator(pg_catalog.=) '*'
      then pg_catalog.quote_literal(name) operator(pg_catalog.||) ' is no name for a channel: it stands for all channels'
  end
$$;
comment on function realtime.name_problem(text) is 'Why a text cannot be the name of a channel; null: it can';

create or replace function realtime.settings_problem(
  history boolean, ttl interval, max_messages integer, presence_timeout interval, typing_timeout interval
) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case
    when history is null then 'history must be true or false'
    when ttl <= interval '0' then 'ttl must be longer than nothing, or null for no limit'
    -- A time so far from now is outside the range of timestamptz: every sum with it would fail.
    when ttl > interval '1000 years' then 'ttl must be at most 1000 years, or null for no limit'
    when max_messages < 1 then 'max_messages must be at least 1, or null for no limit'
    when coalesce(presence_timeout < interval '0', true) then 'presence_timeout must be 0 or longer'
    when coalesce(typing_timeout <= interval '0', true) then 'typing_timeout must be longer than nothing'
    when greatest(presence_timeout, typing_timeout) > interval '1000 years'
      then 'presence_timeout and typing_timeout must be at most 1000 years'
  end
$$;
comment on function realtime.settings_problem(boolean, interval, integer, interval, interval) is
  'The problem with settings that rows of realtime.channels and realtime.channel_defaults share; null: none';

create or replace function realtime.check_channel() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  problem text;
begin
  if tg_op = 'INSERT' or new.name is distinct from old.name then  -- a name from before this rule may stay
    problem := realtime.name_problem(new.name);
  end if;
  problem := coalesce(problem, case
    when coalesce(jsonb_typeof(new.metadata), 'null') <> 'object' then 'metadata must be a JSON object'
    when coalesce(jsonb_typeof(new.permissions), 'null') <> 'object' then 'permissions must be a JSON object'
    when new.capacity < 1 then 'capacity must be at least 1, or null for no limit'
    else realtime.settings_problem(new.history, new.ttl, new.max_messages, new.presence_timeout, new.typing_timeout)
  end);
  if problem is not null then
    raise exception '%', problem using errcode = 'RT007';
  end if;
  return new;
end
$$;
comment on function realtime.check_channel() is 'Trigger function: rejects an invalid room with RT007 and the reason, before a constraint rejects it without';

create or replace function realtime.check_default() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  problem text := case
    when new.pattern is null or length(new.pattern) not between 1 and 255 then 'a pattern has 1 to 255 characters'
    when new.dynamic is null then 'dynamic must be true or false'
    else realtime.settings_problem(new.history, new.ttl, new.max_messages, new.presence_timeout, new.typing_timeout)
  end;
begin
  if problem is not null then
    raise exception '%', problem using errcode = 'RT007';
  end if;
  return new;
end
$$;
comment on function realtime.check_default() is 'Trigger function: rejects an invalid row of realtime.channel_defaults with RT007 and the reason';

create or replace function realtime.create_channel(
  name text,
  metadata jsonb default '{}',
  permissions jsonb default '{}',
  capacity integer default null,
  history boolean default true,
  ttl interval default null,
  max_messages integer default null,
  presence_timeout interval default '10 s',
  typing_timeout interval default '5 s',
  created_by text default null
) returns realtime.channels
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  made realtime.channels;
begin
  insert into realtime.channels as c
    (name, metadata, permissions, capacity, history, ttl, max_messages, presence_timeout, typing_timeout, created_by)
  values (create_channel.name, create_channel.metadata, create_channel.permissions, create_channel.capacity, create_channel.history,
          create_channel.ttl, create_channel.max_messages, create_channel.presence_timeout, create_channel.typing_timeout,
          create_channel.created_by)
  on conflict on constraint channels_pkey do update
    set metadata = excluded.metadata, permissions = excluded.permissions, capacity = excluded.capacity, history = excluded.history,
        ttl = excluded.ttl, max_messages = excluded.max_messages, presence_timeout = excluded.presence_timeout,
        typing_timeout = excluded.typing_timeout, created_by = excluded.created_by, created_at = now(), updated_at = now(),
        closed_at = null
    where c.closed_at is not null
  returning c.* into made;
  if not found then
    raise exception 'channel % exists already', quote_literal(create_channel.name)
      using errcode = 'duplicate_object', hint = 'Change it with realtime.update_channel().';
  end if;
  return made;
end
$$;
comment on function realtime.create_channel(text, jsonb, jsonb, integer, boolean, interval, integer, interval, interval, text) is
  'Make a room (or open a closed one again, with these settings). ttl and max_messages null: those of realtime.channel_defaults. '
  'Subscribers of the name get room:created';

create or replace function realtime.update_channel(name text, changes jsonb) returns realtime.channels
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  unknown text;
  changed realtime.channels;
begin
  if update_channel.changes is null or jsonb_typeof(update_channel.changes) <> 'object' then
    raise exception 'the changes are a JSON object of settings, not %', coalesce(left(update_channel.changes::text, 40), 'null')
      using errcode = 'RT007';
  end if;
  select string_agg(quote_literal(key), ', ') into unknown
  from jsonb_object_keys(changes) key
  where key not in ('metadata', 'permissions', 'capacity', 'history', 'ttl', 'max_messages', 'presence_timeout', 'typing_timeout');
  if unknown is not null then
    raise exception 'a channel has no setting %', unknown using errcode = 'RT007',
      hint = 'metadata, permissions, capacity, history, ttl, max_messages, presence_timeout, typing_timeout';
  end if;
  -- What is not mentioned stays; null takes a limit away. jsonb_populate_record knows the difference.
  begin
    update realtime.channels c
    set (metadata, permissions, capacity, history, ttl, max_messages, presence_timeout, typing_timeout, updated_at) = (
      select n.metadata, n.permissions, n.capacity, n.history, n.ttl, n.max_messages, n.presence_timeout, n.typing_timeout,
             clock_timestamp()
      from jsonb_populate_record(c, update_channel.changes) n
    )
    where c.name = update_channel.name and c.closed_at is null
    returning c.* into changed;
  exception when data_exception then
    raise exception 'not a value for a setting of a channel: %', sqlerrm using errcode = 'RT007';
  end;
  if changed.name is null then
    raise exception 'there is no open channel %', quote_literal(update_channel.name) using errcode = 'RT004';
  end if;
  return changed;
end
$$;
comment on function realtime.update_channel(text, jsonb) is
  'Change settings of a room: {"capacity": 20, "metadata": {…}}. What is not mentioned stays, null takes a limit away, metadata and '
  'permissions are replaced whole. Members stay when the capacity shrinks. Subscribers get room:updated';

create or replace function realtime.close_channel(name text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update realtime.channels c set closed_at = clock_timestamp(), updated_at = clock_timestamp()
  where c.name = close_channel.name and c.closed_at is null;
  if not found then
    return false;
  end if;
  delete from realtime.presence p where p.channel = close_channel.name;
  return true;
end
$$;
comment on function realtime.close_channel(text) is
  'Close a room: members leave, subscribers get room:closed, and subscribing and publishing are refused until it is created again. Its '
  'messages stay until they expire. False: there is no such open room';

-- Migrations gave these columns other comments.
comment on column realtime.settings.stream_key is
  'is in every logical message that our functions emit ("key"): every role may call pg_logical_emit_message, only we know this';
comment on column realtime.channels.closed_at is 'since then no client can subscribe or publish; the messages stay until they expire';
comment on column realtime.presence.state is 'status, typing and all other fields that the client sets';
comment on column realtime.messages.xid is 'the transaction that published it; realtime.commits has where it committed';
