-- Publishing. No statement here waits for another transaction, except for one that publishes the same id in the same channel.

create or replace function realtime.emit(prefix text, content jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  select pg_logical_emit_message(true, prefix, (content || jsonb_build_object('key', s.stream_key))::text) from realtime.settings s
$$;
comment on function realtime.emit(text, jsonb) is 'A logical message that the servers believe: it carries the stream key. Not for others to call';

create or replace function realtime.send(
  channel text, event text, payload jsonb, sender text, id text, audience jsonb, priority integer, made_id text default null
) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  room boolean;
  closed timestamptz;
  available boolean := true;
  kept boolean;
begin
  -- What realtime.channel_rules() says, in statements whose plans are kept: this runs for every message.
  select true, c.closed_at, c.history into room, closed, kept from realtime.channels c where c.name = channel;
  if closed is not null then
    return 'closed';
  elsif room is null then
    select d.dynamic, d.history into available, kept
    from realtime.channel_defaults d where realtime.name_matches(channel, d.pattern) order by length(d.pattern) desc limit 1;
    if not found or not available then
      return 'unknown';
    end if;
  end if;
  if octet_length(payload::text) > (select s.max_payload from realtime.settings s) then
    return 'too large';
  end if;
  if send.id is not null then
    insert into realtime.message_ids (channel, id) values (send.channel, send.id) on conflict do nothing;
    if not found then
      return 'duplicate';
    end if;
  end if;
  if kept then
    insert into realtime.messages (channel, event, payload, sender, id, audience, priority)
    values (channel, event, payload, sender, coalesce(id, made_id, gen_random_uuid()::text), audience, priority);
    return 'stored';
  end if;
  perform realtime.emit('realtime.message', jsonb_build_object('channel', channel, 'event', event, 'payload', payload,
    'sender', sender, 'id', coalesce(id, made_id, gen_random_uuid()::text), 'audience', audience, 'priority', priority));
  return 'emitted';
end
$$;
comment on function realtime.send(text, text, jsonb, text, text, jsonb, integer, text) is
  'Publish one message and say what became of it: stored, emitted (a channel without history), duplicate, closed, unknown, too large. '
  'Not for others to call: realtime.broadcast() raises errors';

create or replace function realtime.check_message(event text, audience jsonb) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if event is null or length(event) not between 1 and 255 then
    raise exception 'an event has a name of 1 to 255 characters' using errcode = 'RT007';
  elsif audience is not null and (jsonb_typeof(audience) <> 'object'
      or audience - '{users,connections,exclude,where}'::text[] <> '{}'
      or coalesce(jsonb_typeof(audience -> 'users'), 'array') <> 'array'
      or coalesce(jsonb_typeof(audience -> 'connections'), 'array') <> 'array'
      or coalesce(jsonb_typeof(audience -> 'where'), 'array') <> 'array'
      or coalesce(jsonb_typeof(audience -> 'exclude'), 'object') <> 'object'
      or (audience -> 'exclude') - '{users,connections,sender}'::text[] <> '{}') then
    raise exception 'not an audience: %', audience using errcode = 'RT007',
      hint = '{"users": [], "connections": [], "exclude": {"users": [], "connections": [], "sender": true}, "where": []}';
  end if;
end
$$;
comment on function realtime.check_message(text, jsonb) is 'Raises RT007 if an event name or an audience is not valid';

create or replace function realtime.broadcast(
  channel text,
  event text,
  payload jsonb default 'null',
  sender text default null,
  id text default null,
  audience jsonb default null,
  priority integer default 0
) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  message_id text := coalesce(id, gen_random_uuid()::text);
  outcome text;
begin
  perform realtime.check_message(event, audience);
  if channel is null or length(channel) not between 1 and 255 then
    raise exception 'a channel has a name of 1 to 255 characters' using errcode = 'RT007';
  elsif priority not between -32768 and 32767 then
    raise exception 'a priority is between -32768 and 32767, not %', priority using errcode = 'RT007';
  elsif length(id) not between 1 and 255 then
    raise exception 'an id has 1 to 255 characters' using errcode = 'RT007';
  end if;
  outcome := realtime.send(channel, event, coalesce(payload, 'null'), sender, id, audience, priority, message_id);
  if outcome = 'too large' then
    raise exception 'the payload has % bytes', octet_length(payload::text) using errcode = 'RT005',
      hint = (select format('At most %s.', s.max_payload) from realtime.settings s);
  elsif outcome in ('closed', 'unknown') then
    raise exception 'channel % %', quote_literal(channel), case outcome when 'closed' then 'is closed' else 'does not exist' end
      using errcode = 'RT004', hint = 'Make it with realtime.create_channel().';
  end if;
  return message_id;
end
$$;
comment on function realtime.broadcast(text, text, jsonb, text, text, jsonb, integer) is
  'Publish a message to a channel, when this transaction commits. id: a second message with the same id in the channel is not stored '
  '(and a call with it waits for a transaction that is about to store it). Returns the id';

create or replace function realtime.direct(
  users text[], event text, payload jsonb, sender text, audience jsonb, priority integer
) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  message_id text := gen_random_uuid()::text;
begin
  perform realtime.check_message(event, audience);
  if octet_length(payload::text) > (select s.max_payload from realtime.settings s) then
    raise exception 'the payload has % bytes', octet_length(payload::text) using errcode = 'RT005';
  end if;
  perform realtime.emit('realtime.command', jsonb_build_object('command', 'broadcast', 'users', to_jsonb(users), 'event', event,
    'payload', coalesce(payload, 'null'), 'sender', sender, 'id', message_id, 'audience', audience, 'priority', priority));
  return message_id;
end
$$;
comment on function realtime.direct(text[], text, jsonb, text, jsonb, integer) is 'What broadcast_all() and broadcast_users() do. Not for others to call';

create or replace function realtime.broadcast_all(
  event text, payload jsonb default 'null', sender text default null, audience jsonb default null, priority integer default 0
) returns text
language sql security definer set search_path = pg_catalog, pg_temp as $$
  select realtime.direct(null, event, payload, sender, audience, priority)
$$;
comment on function realtime.broadcast_all(text, jsonb, text, jsonb, integer) is
  'Send a message to every connected client, whatever it is subscribed to. Not stored. Returns its id';

create or replace function realtime.broadcast_users(
  users text[], event text, payload jsonb default 'null', sender text default null, priority integer default 0
) returns text
language sql security definer set search_path = pg_catalog, pg_temp as $$
  select realtime.direct(coalesce(users, '{}'), event, payload, sender, null, priority)
$$;
comment on function realtime.broadcast_users(text[], text, jsonb, text, integer) is
  'Send a message to every connection of these users, whatever it is subscribed to. Not stored. Returns its id';

create or replace function realtime.broadcast_rooms(
  rooms text[], event text, payload jsonb default 'null', sender text default null, audience jsonb default null, priority integer default 0
) returns integer
language sql security definer set search_path = pg_catalog, pg_temp as $$
  -- One name after the other, sorted: the order in which a transaction writes must not depend on the caller.
  select count(realtime.broadcast(n.name, event, payload, sender, null, audience, priority))::integer
  from (
    select name from unnest(rooms) name where right(name, 1) <> '*'
    union
    select c.name from realtime.channels c join unnest(rooms) pattern on right(pattern, 1) = '*' and realtime.name_matches(c.name, pattern)
    where c.closed_at is null
    order by 1
  ) n
$$;
comment on function realtime.broadcast_rooms(text[], text, jsonb, text, jsonb, integer) is
  'Publish a message to several channels, all in this transaction. A name that ends with * means every open room that matches. Returns '
  'how many channels that were';
