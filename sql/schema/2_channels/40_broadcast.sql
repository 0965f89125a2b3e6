-- The functions with which applications publish: to a channel, to every client, to users, to several channels.

create or replace function realtime.check_message(event text, audience jsonb) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if event is null or length(event) not between 1 and 255 then
    raise exception 'an event has a name of 1 to 255 characters' using errcode = 'RT007';
  elsif audience is null then
    return;
  elsif audience @? '$.**{100}' then
    raise exception 'an audience is nested at most 100 levels deep' using errcode = 'RT007';
  elsif (jsonb_typeof(audience) <> 'object'
      or audience - '{users,connections,exclude,where}'::text[] <> '{}'
      or coalesce(jsonb_typeof(audience -> 'users'), 'array') <> 'array'
      or coalesce(jsonb_typeof(audience -> 'connections'), 'array') <> 'array'
      or coalesce(jsonb_typeof(audience -> 'where'), 'array') <> 'array'
      or coalesce(jsonb_typeof(audience -> 'exclude'), 'object') <> 'object'
      or (audience -> 'exclude') - '{users,connections,sender}'::text[] <> '{}') then
    raise exception 'not an audience: %', audience using errcode = 'RT007',
      hint = '{"users": [], "connections": [], "exclude": {"users": [], "connections": [], "sender": true}, "where": []}';
  elsif realtime.conditions_problem(audience -> 'where') is not null then
    raise exception 'not an audience: where: %', realtime.conditions_problem(audience -> 'where') using errcode = 'RT007',
      hint = 'where is like [["level", ">", 3], {"or": [["team", "==", "red"], ["admin", "==", true]]}].';
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
  wrong_name text := realtime.name_problem(channel);
  outcome text;
begin
  perform realtime.check_message(event, audience);
  if wrong_name is not null then
    raise exception '%', wrong_name using errcode = 'RT007', hint = 'To reach every client: realtime.broadcast_all().';
  elsif priority is null or priority not between -32768 and 32767 then
    raise exception 'a priority is between -32768 and 32767, not %', priority using errcode = 'RT007';
  elsif length(id) not between 1 and 255 then
    raise exception 'an id has 1 to 255 characters' using errcode = 'RT007';
  end if;
  outcome := realtime.send(channel, event, coalesce(payload, 'null'), sender, id, audience, priority, message_id);
  if outcome = 'stored' then
    return message_id;
  elsif outcome = 'too large' then
    raise exception 'the payload has % bytes', octet_length(payload::text) using errcode = 'RT005',
      hint = (select format('At most %s.', s.max_payload) from realtime.settings s);
  elsif outcome = 'too deep' then
    perform realtime.refuse_depth();
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
  size integer := octet_length(payload::text);
begin
  perform realtime.check_message(event, audience);
  if size > (select s.max_payload from realtime.settings s) then
    raise exception 'the payload has % bytes', size using errcode = 'RT005',
      hint = (select format('At most %s.', s.max_payload) from realtime.settings s);
  elsif realtime.is_too_deep(payload, size) then
    perform realtime.refuse_depth();
  elsif priority is null or priority not between -32768 and 32767 then
    raise exception 'a priority is between -32768 and 32767, not %', priority using errcode = 'RT007';
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

drop function if exists realtime.broadcast_users(text[], text, jsonb, text, integer);
create or replace function realtime.broadcast_users(
  users text[], event text, payload jsonb default 'null', sender text default null, audience jsonb default null, priority integer default 0
) returns text
language sql security definer set search_path = pg_catalog, pg_temp as $$
  select realtime.direct(array(select u.id from unnest(users) u (id) where u.id is not null), event, payload, sender, audience, priority)
$$;
comment on function realtime.broadcast_users(text[], text, jsonb, text, jsonb, integer) is
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

create or replace function realtime.payload_of(content text) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return content::jsonb;
exception
  when statement_too_complex then
    raise exception 'the payload is nested too deeply' using errcode = 'RT007', hint = 'At most 512 levels.';
  when data_exception then
    raise exception 'the payload is not JSON: %', quote_literal(left(content, 100)) using errcode = 'RT007', detail = sqlerrm,
      hint = 'A text by itself is sent with to_jsonb(''…''::text), a row with to_jsonb(row).';
end
$$;
comment on function realtime.payload_of(text) is 'The payload that a text is; RT007 for one that is not JSON';

create or replace function realtime.payload_of(content json) returns jsonb
language sql immutable set search_path = pg_catalog, pg_temp as $$ select realtime.payload_of(content::text) $$;
comment on function realtime.payload_of(json) is 'The same for json, which may hold what jsonb cannot';

create or replace function realtime.payload_of(content anyelement) returns jsonb
language sql stable as $$ select pg_catalog.to_jsonb(content) $$;
comment on function realtime.payload_of(anyelement) is 'The same for a row, a record, a number and any other value: what to_jsonb() makes of it';

-- The payload as json, as text, or as a value of any other type. Without them PostgreSQL would not take json_build_object(), for it casts json to jsonb
-- only where a value is assigned; and with both json and jsonb a plain literal would fit either. A literal is text first (docs: "Function Type
-- Resolution"), so it goes that way; anyelement is taken where none of the others fits. They run as the caller.
do $$
declare
  kind text;
begin
  foreach kind in array '{json,text,anyelement}'::text[] loop
    execute format($f$
      create or replace function realtime.broadcast(
        channel text, event text, payload %1$s, sender text default null, id text default null, audience jsonb default null, priority integer default 0
      ) returns text
      language sql as $b$ select realtime.broadcast(channel, event, realtime.payload_of(payload), sender, id, audience, priority) $b$;
      comment on function realtime.broadcast(text, text, %1$s, text, text, jsonb, integer) is 'The same with a payload of type %1$s';

      create or replace function realtime.broadcast_all(
        event text, payload %1$s, sender text default null, audience jsonb default null, priority integer default 0
      ) returns text
      language sql as $b$ select realtime.broadcast_all(event, realtime.payload_of(payload), sender, audience, priority) $b$;
      comment on function realtime.broadcast_all(text, %1$s, text, jsonb, integer) is 'The same with a payload of type %1$s';

      create or replace function realtime.broadcast_users(
        users text[], event text, payload %1$s, sender text default null, audience jsonb default null, priority integer default 0
      ) returns text
      language sql as $b$ select realtime.broadcast_users(users, event, realtime.payload_of(payload), sender, audience, priority) $b$;
      comment on function realtime.broadcast_users(text[], text, %1$s, text, jsonb, integer) is 'The same with a payload of type %1$s';

      create or replace function realtime.broadcast_rooms(
        rooms text[], event text, payload %1$s, sender text default null, audience jsonb default null, priority integer default 0
      ) returns integer
      language sql as $b$ select realtime.broadcast_rooms(rooms, event, realtime.payload_of(payload), sender, audience, priority) $b$;
      comment on function realtime.broadcast_rooms(text[], text, %1$s, text, jsonb, integer) is 'The same with a payload of type %1$s';
    $f$, kind);
  end loop;
end
$$;

-- What other functions take as jsonb, as json and as text, for the same reasons. Texts that are no JSON are refused in PostgreSQL's words.
create or replace function realtime.annotate(meta json) returns void
language sql set search_path = pg_catalog, pg_temp as $$ select realtime.annotate(meta::jsonb) $$;
comment on function realtime.annotate(json) is 'The same with annotations of type json';

create or replace function realtime.annotate(meta text) returns void
language sql set search_path = pg_catalog, pg_temp as $$ select realtime.annotate(meta::jsonb) $$;
comment on function realtime.annotate(text) is 'The same with annotations of type text';

create or replace function realtime.update_channel(name text, changes json) returns realtime.channels
language sql set search_path = pg_catalog, pg_temp as $$ select realtime.update_channel(name, changes::jsonb) $$;
comment on function realtime.update_channel(text, json) is 'The same with changes of type json';

create or replace function realtime.update_channel(name text, changes text) returns realtime.channels
language sql set search_path = pg_catalog, pg_temp as $$ select realtime.update_channel(name, changes::jsonb) $$;
comment on function realtime.update_channel(text, text) is 'The same with changes of type text';

-- Of the types of metadata and permissions each pair, so that both may be literals. Where they left both out, or permissions, two would fit: so metadata
-- has no default here, and permissions only beside one of them.
create or replace function realtime.create_channel(
  name text, metadata jsonb, permissions json, capacity integer default null, history boolean default true, ttl interval default null,
  max_messages integer default null, presence_timeout interval default '10 s', typing_timeout interval default '5 s', created_by text default null
) returns realtime.channels
language sql set search_path = pg_catalog, pg_temp as $$
  select realtime.create_channel(name, metadata::jsonb, permissions::jsonb, capacity, history, ttl, max_messages, presence_timeout, typing_timeout, created_by)
$$;
comment on function realtime.create_channel(text, jsonb, json, integer, boolean, interval, integer, interval, interval, text) is
  'The same with metadata of type jsonb and permissions of type json';

create or replace function realtime.create_channel(
  name text, metadata jsonb, permissions text, capacity integer default null, history boolean default true, ttl interval default null,
  max_messages integer default null, presence_timeout interval default '10 s', typing_timeout interval default '5 s', created_by text default null
) returns realtime.channels
language sql set search_path = pg_catalog, pg_temp as $$
  select realtime.create_channel(name, metadata::jsonb, permissions::jsonb, capacity, history, ttl, max_messages, presence_timeout, typing_timeout, created_by)
$$;
comment on function realtime.create_channel(text, jsonb, text, integer, boolean, interval, integer, interval, interval, text) is
  'The same with metadata of type jsonb and permissions of type text';

create or replace function realtime.create_channel(
  name text, metadata json, permissions jsonb default '{}', capacity integer default null, history boolean default true, ttl interval default null,
  max_messages integer default null, presence_timeout interval default '10 s', typing_timeout interval default '5 s', created_by text default null
) returns realtime.channels
language sql set search_path = pg_catalog, pg_temp as $$
  select realtime.create_channel(name, metadata::jsonb, permissions::jsonb, capacity, history, ttl, max_messages, presence_timeout, typing_timeout, created_by)
$$;
comment on function realtime.create_channel(text, json, jsonb, integer, boolean, interval, integer, interval, interval, text) is
  'The same with metadata of type json and permissions of type jsonb';

create or replace function realtime.create_channel(
  name text, metadata json, permissions json, capacity integer default null, history boolean default true, ttl interval default null,
  max_messages integer default null, presence_timeout interval default '10 s', typing_timeout interval default '5 s', created_by text default null
) returns realtime.channels
language sql set search_path = pg_catalog, pg_temp as $$
  select realtime.create_channel(name, metadata::jsonb, permissions::jsonb, capacity, history, ttl, max_messages, presence_timeout, typing_timeout, created_by)
$$;
comment on function realtime.create_channel(text, json, json, integer, boolean, interval, integer, interval, interval, text) is
  'The same with metadata of type json and permissions of type json';

create or replace function realtime.create_channel(
  name text, metadata json, permissions text, capacity integer default null, history boolean default true, ttl interval default null,
  max_messages integer default null, presence_timeout interval default '10 s', typing_timeout interval default '5 s', created_by text default null
) returns realtime.channels
language sql set search_path = pg_catalog, pg_temp as $$
  select realtime.create_channel(name, metadata::jsonb, permissions::jsonb, capacity, history, ttl, max_messages, presence_timeout, typing_timeout, created_by)
$$;
comment on function realtime.create_channel(text, json, text, integer, boolean, interval, integer, interval, interval, text) is
  'The same with metadata of type json and permissions of type text';

create or replace function realtime.create_channel(
  name text, metadata text, permissions jsonb default '{}', capacity integer default null, history boolean default true, ttl interval default null,
  max_messages integer default null, presence_timeout interval default '10 s', typing_timeout interval default '5 s', created_by text default null
) returns realtime.channels
language sql set search_path = pg_catalog, pg_temp as $$
  select realtime.create_channel(name, metadata::jsonb, permissions::jsonb, capacity, history, ttl, max_messages, presence_timeout, typing_timeout, created_by)
$$;
comment on function realtime.create_channel(text, text, jsonb, integer, boolean, interval, integer, interval, interval, text) is
  'The same with metadata of type text and permissions of type jsonb';

create or replace function realtime.create_channel(
  name text, metadata text, permissions json, capacity integer default null, history boolean default true, ttl interval default null,
  max_messages integer default null, presence_timeout interval default '10 s', typing_timeout interval default '5 s', created_by text default null
) returns realtime.channels
language sql set search_path = pg_catalog, pg_temp as $$
  select realtime.create_channel(name, metadata::jsonb, permissions::jsonb, capacity, history, ttl, max_messages, presence_timeout, typing_timeout, created_by)
$$;
comment on function realtime.create_channel(text, text, json, integer, boolean, interval, integer, interval, interval, text) is
  'The same with metadata of type text and permissions of type json';

create or replace function realtime.create_channel(
  name text, metadata text, permissions text, capacity integer default null, history boolean default true, ttl interval default null,
  max_messages integer default null, presence_timeout interval default '10 s', typing_timeout interval default '5 s', created_by text default null
) returns realtime.channels
language sql set search_path = pg_catalog, pg_temp as $$
  select realtime.create_channel(name, metadata::jsonb, permissions::jsonb, capacity, history, ttl, max_messages, presence_timeout, typing_timeout, created_by)
$$;
comment on function realtime.create_channel(text, text, text, integer, boolean, interval, integer, interval, interval, text) is
  'The same with metadata of type text and permissions of type text';
