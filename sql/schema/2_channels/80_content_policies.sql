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

create or replace function realtime.content_sanitize_problem(profiles jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  path text;
  profile jsonb;
begin
  if profiles is null then
    return null;
  elsif jsonb_typeof(profiles) <> 'object' then
    return 'expected paths and profiles, like {"data.text": "text"}';
  elsif (select count(*) not between 1 and 100 from jsonb_object_keys(profiles)) then
    return '1 to 100 paths';
  end if;
  for path, profile in select p.key, p.value from jsonb_each(profiles) p loop
    if path !~ '^data(\.[^.]+)*$' or length(path) > 255 then
      return quote_literal(left(path, 80)) || ' is no path: one is like data.text or data.items.*.title';
    elsif profile not in ('"text"', '"formatting"') then
      return format('%s: a profile is text or formatting, not %s', path, left(profile::text, 40));
    end if;
  end loop;
  return null;
end
$$;
comment on function realtime.content_sanitize_problem(jsonb) is 'Why this cannot be the column sanitize of a content policy; null: it can';

create or replace function realtime.content_filters_problem(filters jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  entry jsonb;
  part text;
begin
  if filters is null then
    return null;
  elsif jsonb_typeof(filters) <> 'array' or jsonb_array_length(filters) not between 1 and 20 then
    return 'expected a list of 1 to 20 filters, each like {"words": ["casino"], "action": "mask"}';
  elsif octet_length(filters::text) > 262144 then
    return 'at most 262144 bytes of JSON';
  end if;
  for entry in select f.value from jsonb_array_elements(filters) f loop
    if jsonb_typeof(entry) <> 'object' or entry - '{words,patterns,fields,action}'::text[] <> '{}' then
      return format('a filter has words, patterns, fields and action; this one is %s', left(entry::text, 80));
    elsif coalesce(entry -> 'action', 'null') not in ('"reject"', '"mask"', '"flag"') then
      return 'action is reject, mask or flag';
    elsif not entry ?| '{words,patterns}' then
      return 'a filter has words or patterns';
    end if;
    foreach part in array '{words,patterns,fields}'::text[] loop
      if entry ? part and (jsonb_typeof(entry -> part) <> 'array' or entry -> part = '[]'
          or entry @? format('$.%s[*] ? (@.type() != "string" || @ == "")', part)::jsonpath) then
        return part || ' is a list of texts that are not empty';
      elsif part = 'patterns' and jsonb_array_length(coalesce(entry -> part, '[]')) > 100 then
        return 'at most 100 patterns';
      elsif part = 'fields' and exists (
          select from jsonb_array_elements_text(coalesce(entry -> part, '[]')) p where p !~ '^data(\.[^.]+)*$') then
        return 'fields are paths like data.text or data.items.*.title';
      end if;
    end loop;
  end loop;
  return null;
end
$$;
comment on function realtime.content_filters_problem(jsonb) is 'Why this cannot be the column filters of a content policy; null: it can';

create or replace function realtime.content_spam_problem(spam jsonb) returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
  select case
    when spam is null then null
    when jsonb_typeof(spam) <> 'object' or spam - '{threshold,half_life,message,repeat,link,action}'::text[] <> '{}'
      then 'expected threshold, half_life, message, repeat, link and action, not ' || left(spam::text, 80)
    when not spam ? 'threshold' then 'a threshold is missing'
    when coalesce(spam -> 'action', '"reject"') not in ('"reject"', '"flag"') then 'action is reject or flag'
    when spam @? '$.* ? (@.type() != "number" && @.type() != "string")' or spam - 'action' @? '$.* ? (@.type() == "string")'
      then 'threshold, half_life and points are numbers'
    when spam @? '$.threshold ? (@ < 1 || @ > 1000000)' or spam @? '$.half_life ? (@ < 0.1 || @ > 86400)'
        or spam @? '$.keyvalue() ? (@.key == "message" || @.key == "repeat" || @.key == "link").value ? (@ < 0 || @ > 1000000)'
      then 'threshold is 1 to 1000000, half_life 0.1 to 86400 seconds, points are 0 to 1000000'
  end
$$;
comment on function realtime.content_spam_problem(jsonb) is 'Why this cannot be the column spam of a content policy; null: it can';

create or replace function realtime.check_content_policy() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  problem text := coalesce(
    case when new.name is null or length(new.name) not between 1 and 255 then 'name has 1 to 255 characters' end,
    realtime.content_pattern_problem(new.channel, 'channel'),
    case when starts_with(new.channel, 'db:') then 'channel: names that begin with db: are live queries, which are written with SQL' end,
    realtime.content_pattern_problem(new.event, 'event'),
    case
      when num_nonnulls(new.schema, new.sanitize, new.filters, new.spam) = 0 then 'schema, sanitize, filters, spam: a policy has one of them'
      when jsonb_typeof(new.schema) not in ('object', 'boolean') then 'schema: a JSON Schema is an object, true or false'
      when octet_length(new.schema::text) > 65536 then 'schema: at most 65536 bytes of JSON'
      when new.schema @? '$.**{64}' then 'schema: nested more than 63 levels deep'
    end,
    'sanitize: ' || realtime.content_sanitize_problem(new.sanitize),
    'filters: ' || realtime.content_filters_problem(new.filters),
    'spam: ' || realtime.content_spam_problem(new.spam),
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
