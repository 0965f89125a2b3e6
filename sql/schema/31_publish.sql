-- Publishing. No statement here waits for another transaction, except for one that publishes the same id in the same channel.

create or replace function realtime.emit(prefix text, content jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  -- The content of a message is not converted on its way, unlike values of rows, so it is given as bytes: UTF-8, whatever the database's encoding.
  select pg_logical_emit_message(true, prefix, convert_to((content || jsonb_build_object('key', s.stream_key))::text, 'UTF8'))
  from realtime.settings s
$$;
comment on function realtime.emit(text, jsonb) is 'A logical message that the servers believe: it carries the stream key. Not for others to call';

create or replace function realtime.refuse_size(size integer, most integer) returns pg_lsn
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'the payload has % bytes', size using errcode = 'RT005', hint = format('At most %s.', most);
end
$$;
comment on function realtime.refuse_size(integer, integer) is 'Raises RT005. Returns a type so that it can stand in place of pg_logical_emit_message()';

create or replace function realtime.refuse_depth() returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'the payload is nested too deeply' using errcode = 'RT007', hint = 'At most 512 levels.';
end
$$;
comment on function realtime.refuse_depth() is 'Raises RT007';

create or replace function realtime.refuse_left_out() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'a trigger on realtime.messages left out a message' using errcode = 'RTX01';
end
$$;
comment on function realtime.refuse_left_out() is 'Raises RTX01, upon which a server writes the statement again in a transaction with others';

create or replace function realtime.is_too_deep(content jsonb, size integer) returns boolean
language sql immutable parallel safe as $$
  -- No search_path is set so that it can be inlined. What is so deep has two brackets per level, so small messages need not be looked at.
  select size operator(pg_catalog.>) 1024 and content operator(pg_catalog.@?) '$.**{512}'
$$;
comment on function realtime.is_too_deep(jsonb, integer) is
  'Whether JSON (with its length as text, in bytes) is nested more than 512 levels deep. PostgreSQL keeps that; many programs cannot read it, the servers among them';

create or replace function realtime.check_size() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  size integer := octet_length(new.payload::text);
  most integer := (select s.max_payload from realtime.settings s);
begin
  if size > most then
    perform realtime.refuse_size(size, most);
  end if;
  return new;
end
$$;
comment on function realtime.check_size() is 'Trigger function: a payload over realtime.settings.max_payload is refused with RT005, on every way in';
-- The setting is at least 1024, so small messages need not ask for it.

drop function if exists realtime.send(text, text, jsonb, text, text, jsonb, integer, text);
create or replace function realtime.send(
  channel text, event text, payload jsonb, sender text, id text, audience jsonb, priority integer, made_id text default null,
  connection_id text default null, routed_from text default null
) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  room boolean;
  closed timestamptz;
  available boolean := true;
  kept boolean;
  size integer := octet_length(payload::text);
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
  if size > (select s.max_payload from realtime.settings s) then
    return 'too large';
  elsif realtime.is_too_deep(payload, size) then
    return 'too deep';
  end if;
  if send.id is not null then
    insert into realtime.message_ids (channel, id) values (send.channel, send.id) on conflict do nothing;
    if not found then
      return 'duplicate';
    end if;
  end if;
  if kept then
    insert into realtime.messages (channel, event, payload, sender, id, audience, priority, connection_id, routed_from)
    values (channel, event, payload, sender, coalesce(id, made_id, gen_random_uuid()::text), audience, priority, connection_id, routed_from);
    if not found then  -- another trigger skipped it, so the id stands for nothing
      delete from realtime.message_ids i where i.channel = send.channel and i.id = send.id;
      return 'left out';
    end if;
    return 'stored';
  end if;
  perform realtime.emit('realtime.message', jsonb_build_object('channel', channel, 'event', event, 'payload', payload,
    'sender', sender, 'id', coalesce(id, made_id, gen_random_uuid()::text), 'audience', audience, 'priority', priority,
    'connection_id', connection_id, 'routed_from', routed_from));
  return 'emitted';
end
$$;
comment on function realtime.send(text, text, jsonb, text, text, jsonb, integer, text, text, text) is
  'Publish one message and return the outcome: stored, emitted (a channel without history), duplicate, left out (by a trigger), closed, unknown, '
  'too large, too deep. '
  'Not for others to call: realtime.broadcast() raises errors';

create or replace function realtime.try_send(
  channel text, event text, payload jsonb, sender text, id text, audience jsonb, priority integer, made_id text,
  connection_id text, routed_from text
) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  return realtime.send(channel, event, payload, sender, id, audience, priority, made_id, connection_id, routed_from);
exception when others or query_canceled or assert_failure then
  raise warning 'realtime: a copy for channel % was refused: %', quote_literal(channel), sqlerrm;
  return 'refused';
end
$$;
comment on function realtime.try_send(text, text, jsonb, text, text, jsonb, integer, text, text, text) is
  'The same, with "refused" and a warning in place of any error. For copies of routes: one that a trigger refuses holds up no other';

create or replace function realtime.is_condition(condition jsonb, depth integer default 1) returns boolean
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
  word text;
begin
  if depth > 32 then
    return false;
  elsif jsonb_typeof(condition) = 'object' then
    word := (select key from jsonb_object_keys(condition) key limit 1);
    if word is null or word not in ('and', 'or', 'not') or condition - word <> '{}' then
      return false;
    elsif word = 'not' then
      return realtime.is_condition(condition -> word, depth + 1);
    end if;
    return jsonb_typeof(condition -> word) = 'array' and condition -> word <> '[]'
      and (select bool_and(realtime.is_condition(item, depth + 1)) from jsonb_array_elements(condition -> word) item);
  elsif jsonb_typeof(condition) <> 'array' or jsonb_typeof(condition -> 0) is distinct from 'string'
      or jsonb_typeof(condition -> 1) is distinct from 'string' then
    return false;
  elsif condition ->> 0 !~ '^[^.]+([.][^.]+){0,15}$' then
    return false;
  end if;
  word := condition ->> 1;
  return case
    when word in ('is-null', 'is-not-null') then jsonb_array_length(condition) = 2
    when jsonb_array_length(condition) <> 3 then false
    when word in ('in', 'not-in', 'array-contains-any') then jsonb_typeof(condition -> 2) = 'array' and not condition -> 2 @> 'null'
    when word in ('like', 'ilike') then jsonb_typeof(condition -> 2) = 'string' and length(condition ->> 2) <= 1000
      and (length(condition ->> 2) - length(rtrim(condition ->> 2, chr(92)))) % 2 = 0 -- it does not end with its escape character
    when word in ('<', '<=', '>', '>=') then jsonb_typeof(condition -> 2) in ('string', 'number', 'boolean')
    else word in ('==', '!=', 'array-contains') and jsonb_typeof(condition -> 2) <> 'null'
  end;
end
$$;
comment on function realtime.is_condition(jsonb, integer) is
  'Whether this is a condition as the servers read them: ["field", "operator", value], or {"and": []}, {"or": []}, {"not": …} of such';

create or replace function realtime.simple_conditions(condition jsonb) returns setof jsonb
language sql immutable strict set search_path = pg_catalog, pg_temp as $$
  with recursive part (condition) as (
    select condition
    union all
    select inside.condition
    from part, jsonb_each(case when jsonb_typeof(part.condition) = 'object' then part.condition else '{}' end) word,
      jsonb_array_elements(case when word.key = 'not' then jsonb_build_array(word.value) else word.value end) inside (condition)
  )
  select part.condition from part where jsonb_typeof(part.condition) = 'array'
$$;
comment on function realtime.simple_conditions(jsonb) is 'The conditions of a condition that is_condition() finds valid, and-, or- and not-groups resolved';

create or replace function realtime.conditions_problem(conditions jsonb) returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
declare
  wrong jsonb;
  conditions_found bigint;
  values_found numeric;
  pattern_length numeric;
begin
  select condition into wrong from jsonb_array_elements(conditions) condition where not realtime.is_condition(condition) limit 1;
  if found then
    return 'not a condition: ' || left(wrong::text, 200);
  end if;
  select count(*),
    sum(case when simple.condition ->> 1 in ('in', 'not-in', 'array-contains-any') then jsonb_array_length(simple.condition -> 2)
      else jsonb_array_length(simple.condition) - 2 end),
    sum(length(simple.condition ->> 2)) filter (where simple.condition ->> 1 in ('like', 'ilike'))
  into conditions_found, values_found, pattern_length
  from jsonb_array_elements(conditions) item (condition), realtime.simple_conditions(item.condition) simple (condition);
  return case
    when conditions_found > 100 then format('%s conditions, at most 100 are allowed', conditions_found)
    when values_found > 1000 then format('%s values, at most 1000 are allowed', values_found)
    when pattern_length > 1000 then format('like patterns of %s characters, at most 1000 are allowed together', pattern_length)
  end;
end
$$;
comment on function realtime.conditions_problem(jsonb) is
  'Why a list of conditions cannot be read by the servers, or null. The limits are those of engine/channels/core/filters/filter.py';

create or replace function realtime.check_route() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  problem text := coalesce(
    case when new.from_channel is null or length(new.from_channel) not between 1 and 255 then 'from_channel has 1 to 255 characters' end,
    'to_channel: ' || realtime.name_problem(new.to_channel),
    case when new.from_channel = new.to_channel then 'a route leads to another channel' end,
    case when coalesce(jsonb_typeof(new.match), 'null') <> 'array' or new.match @? '$.**{100}' then 'match is a list of conditions' end);
begin
  if problem is null then
    problem := 'match: ' || realtime.conditions_problem(new.match);
  end if;
  if problem is not null then
    raise exception '%', problem using errcode = 'RT007', hint = 'match is like [["data.amount", ">", 1000], ["event", "==", "new-order"]].';
  end if;
  return new;
end
$$;
comment on function realtime.check_route() is 'Trigger function: a route that could route nothing is refused with RT007';

create or replace function realtime.check_message(event text, audience jsonb) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if event is null or length(event) not between 1 and 255 then
    raise exception 'an event has a name of 1 to 255 characters' using errcode = 'RT007';
  elsif audience @? '$.**{100}' then
    raise exception 'an audience is nested at most 100 levels deep' using errcode = 'RT007';
  elsif audience is not null and (jsonb_typeof(audience) <> 'object'
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
    raise exception '%', wrong_name using errcode = 'RT007', hint = 'To reach everybody: realtime.broadcast_all().';
  elsif priority is null or priority not between -32768 and 32767 then
    raise exception 'a priority is between -32768 and 32767, not %', priority using errcode = 'RT007';
  elsif length(id) not between 1 and 255 then
    raise exception 'an id has 1 to 255 characters' using errcode = 'RT007';
  end if;
  outcome := realtime.send(channel, event, coalesce(payload, 'null'), sender, id, audience, priority, message_id);
  if outcome = 'too large' then
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
