-- Publishing. No statement here waits for another transaction, except for one in which the same sender publishes the same id in the same channel.

create or replace function realtime.emit(prefix text, content jsonb) returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  -- The content of a message is not converted on its way, unlike values of rows, so it is given as bytes: UTF-8, whatever the database's encoding.
  select pg_logical_emit_message(true, prefix, convert_to((content || jsonb_build_object('key', s.stream_key))::text, 'UTF8'))
  from realtime.settings s
$$;
comment on function realtime.emit(text, jsonb) is 'Emits a logical message that the servers accept: it carries the stream key. Only functions of this schema call it';

create or replace function realtime.refuse_size(size integer, most integer) returns pg_lsn
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'the payload has % bytes', size using errcode = 'RT005', hint = format('At most %s.', most);
end
$$;
comment on function realtime.refuse_size(integer, integer) is 'Raises RT005: the payload is too large. Returns a type so that a statement can call it in place of pg_logical_emit_message()';

create or replace function realtime.refuse_depth() returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'the payload is nested too deeply' using errcode = 'RT007', hint = 'At most 512 levels.';
end
$$;
comment on function realtime.refuse_depth() is 'Raises RT007: the payload is nested too deeply';

drop function if exists realtime.refuse_left_out();  -- of versions before
create or replace function realtime.refuse_skipped() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'a trigger on realtime.messages skipped a message' using errcode = 'RTX01';
end
$$;
comment on function realtime.refuse_skipped() is 'Raises RTX01, upon which a server writes the statement again in a transaction with others';

create or replace function realtime.is_too_deep(content jsonb, size integer) returns boolean
language sql immutable parallel safe as $$
  -- No search_path is set so that it can be inlined. JSON of that depth has two brackets per level, so small messages are not searched.
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
comment on function realtime.check_size() is 'Trigger function: rejects a payload over realtime.settings.max_payload with RT005, however it is published';

create or replace function realtime.id_scope(sender text, connection_id text) returns text
language sql immutable parallel safe as $$
  -- No search_path is set so that it can be inlined.
  select case when sender is not null then case when connection_id is not null then '=' else '>' end operator(pg_catalog.||) sender
              when connection_id is not null then '?' else '' end
$$;
comment on function realtime.id_scope(text, text) is
  'Among whose ids that of a message counts: = those of its sender; > those of servers and SQL in the name of a sender, whose own ids are others; ? for those of clients that are no user, which have them in common; empty for those of servers and SQL without sender';

drop function if exists realtime.send(text, text, jsonb, text, text, jsonb, integer, text);
create or replace function realtime.send(
  channel text, event text, payload jsonb, sender text, id text, audience jsonb, priority integer, made_id text default null,
  connection_id text default null, routed_from text default null
) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  closed timestamptz;
  available boolean;
  kept boolean;
  most integer;
  size integer := octet_length(payload::text);
  id_scope text;
begin
  -- As realtime.channel_rules(), in one statement whose plan is kept: this runs for every message, and each statement costs as much as the look-up in it.
  select c.closed_at, c.name is not null or d.dynamic, case when c.name is not null then c.history else d.history end, s.max_payload
  into closed, available, kept, most
  from realtime.settings s
  left join realtime.channels c on c.name = channel
  left join lateral (
    select d.dynamic, d.history from realtime.channel_defaults d
    where c.name is null and realtime.name_matches(channel, d.pattern)
    order by d.pattern = channel desc, length(d.pattern) desc limit 1
  ) d on true;
  if closed is not null then
    return 'closed';
  elsif available is not true then
    return 'unknown';
  elsif size > most then
    return 'too large';
  elsif realtime.is_too_deep(payload, size) then
    return 'too deep';
  end if;
  if send.id is not null then
    id_scope := realtime.id_scope(sender, connection_id);
    insert into realtime.message_ids (channel, id, scope) values (send.channel, send.id, id_scope) on conflict do nothing;
    if not found then
      return 'duplicate';
    end if;
  end if;
  if kept then
    insert into realtime.messages (channel, event, payload, sender, id, audience, priority, connection_id, routed_from)
    values (channel, event, payload, sender, coalesce(id, made_id, gen_random_uuid()::text), audience, priority, connection_id, routed_from);
    if not found then  -- another trigger skipped it, so the id stands for nothing
      delete from realtime.message_ids i where i.channel = send.channel and i.id = send.id and i.scope = id_scope;
      return 'skipped';
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
  'Publish one message and return the outcome: stored, emitted (a channel without history), duplicate, skipped (by a trigger), closed, unknown, '
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
