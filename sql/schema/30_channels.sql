-- Channels and rooms: what holds for a channel by its name, and how a room is made, changed and closed.
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
    select * from realtime.channel_defaults d where realtime.name_matches(n.name, d.pattern) order by length(d.pattern) desc limit 1
  ) d on true
$$;
comment on function realtime.channel_rules(text[]) is
  'What holds for each of these channels: its own row first, then the longest pattern of realtime.channel_defaults. available: '
  'it can be subscribed to and published to; ttl and max_messages null: no limit';

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
  if starts_with(create_channel.name, 'db:') then
    raise exception 'names that begin with db: are live queries' using errcode = 'RT007';
  elsif create_channel.name ~ '[\x01-\x1f\x7f]' or create_channel.name = '*' then
    raise exception '% is no name for a channel', quote_literal(create_channel.name) using errcode = 'RT007',
      hint = 'Names have no control characters.';
  end if;
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
  'Make a room (or open a closed one again, with these settings). ttl and max_messages null: what realtime.channel_defaults says. '
  'Subscribers of the name get room:created';

create or replace function realtime.update_channel(name text, changes jsonb) returns realtime.channels
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  unknown text;
  changed realtime.channels;
begin
  select string_agg(quote_literal(key), ', ') into unknown
  from jsonb_object_keys(changes) key
  where key not in ('metadata', 'permissions', 'capacity', 'history', 'ttl', 'max_messages', 'presence_timeout', 'typing_timeout');
  if unknown is not null then
    raise exception 'a channel has no setting %', unknown using errcode = 'RT007',
      hint = 'metadata, permissions, capacity, history, ttl, max_messages, presence_timeout, typing_timeout';
  end if;
  -- What is not mentioned stays; null takes a limit away. jsonb_populate_record knows the difference.
  update realtime.channels c
  set (metadata, permissions, capacity, history, ttl, max_messages, presence_timeout, typing_timeout, updated_at) = (
    select n.metadata, n.permissions, n.capacity, n.history, n.ttl, n.max_messages, n.presence_timeout, n.typing_timeout,
           clock_timestamp()
    from jsonb_populate_record(c, update_channel.changes) n
  )
  where c.name = update_channel.name and c.closed_at is null
  returning c.* into changed;
  if not found then
    raise exception 'there is no open channel %', quote_literal(update_channel.name) using errcode = 'RT004';
  end if;
  return changed;
end
$$;
comment on function realtime.update_channel(text, jsonb) is
  'Change settings of a room: {"capacity": 20, "metadata": {…}}. What is not mentioned stays, null takes a limit away, metadata and '
  'permissions are replaced whole. Who is in already stays in when the capacity shrinks. Subscribers get room:updated';

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
  'Close a room: members leave, subscribers get room:closed, and nobody can subscribe or publish until it is created again. Its '
  'messages stay until they expire. False: there is no such open room';
