-- Content policies: the checks that need no compiler. Servers compile and apply them (server/content).

create or replace function realtime.content_pattern_problem(pattern text, what text) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case
    when pattern is null or length(pattern) not between 1 and 255 then what || ' has 1 to 255 characters'
    when pattern ~ '[\x01-\x1f\x7f]' then what || ': ' || quote_literal(pattern) || ' has control characters'
    when strpos(left(pattern, -1), '*') > 0 then what || ': ' || quote_literal(pattern) || ' has a * that is not at its end'
  end
$$;
comment on function realtime.content_pattern_problem(text, text) is
  'Why a text cannot be the pattern of a content policy; null: it can. The second argument is its column, for the message';

create or replace function realtime.check_content_policy() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  problem text := coalesce(
    case when new.name is null or length(new.name) not between 1 and 255 then 'name has 1 to 255 characters' end,
    realtime.content_pattern_problem(new.channel, 'channel'),
    case when starts_with(new.channel, 'db:') then 'channel: names that begin with db: are live queries, which are written with SQL' end,
    realtime.content_pattern_problem(new.event, 'event'),
    case
      when new.schema is null then 'schema: a policy has a JSON Schema'
      when jsonb_typeof(new.schema) not in ('object', 'boolean') then 'schema: a JSON Schema is an object, true or false'
      when octet_length(new.schema::text) > 65536 then 'schema: at most 65536 bytes of JSON'
      when new.schema @? '$.**{64}' then 'schema: nested more than 63 levels deep'
    end,
    case when new.enabled is null then 'enabled is true or false' end);
begin
  if problem is not null then
    raise exception '%', problem using errcode = 'RT007',
      hint = 'schema is like {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "maxLength": 500}}}.';
  end if;
  new.updated_at := now();
  return new;
end
$$;
comment on function realtime.check_content_policy() is 'Trigger function: rejects a content policy of a wrong shape with RT007 and the reason';
