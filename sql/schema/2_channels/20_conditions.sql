-- Conditions on messages, as audiences and routes have them: the same grammar that servers read (engine/query/ir/conditions.py).

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
comment on function realtime.check_route() is 'Trigger function: rejects a route that could route nothing with RT007';
