-- Rules of channels. Conditions are evaluated by the servers (server/rules/); here is which row decides, and what is known of a
-- condition without evaluating it.

create or replace function realtime.rule_matches(name text, pattern text) returns boolean
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp as $$
  select name = pattern
    or name like replace(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%') collate "C"
$$;
comment on function realtime.rule_matches(text, text) is
  'Whether a rule for this name or pattern concerns a channel: a * stands for any text, wherever it is, all else for itself';

create or replace function realtime.rule_problem(channel text, rules jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  action text;
  condition jsonb;
  expression text;
begin
  if channel is null or length(channel) not between 1 and 255 then
    return 'a channel or pattern has 1 to 255 characters';
  elsif channel ~ '[\x01-\x1f\x7f]' then
    return quote_literal(channel) || ' is no name or pattern for a channel: it has control characters';
  elsif starts_with(channel, 'db:') then
    return quote_literal(channel) || ' is no name or pattern for a channel: names that begin with db: are live queries';
  elsif length(channel) - length(replace(channel, '*', '')) > 8 then
    return 'a pattern has at most 8 wildcards';
  elsif coalesce(jsonb_typeof(rules), 'null') <> 'object' then
    return 'rules are a JSON object like {"subscribe": "auth.uid != null", "publish": false}';
  end if;
  for action, condition in select r.key, r.value from jsonb_each(rules) r loop
    expression := condition #>> '{}';
    if action <> all ('{subscribe,publish,presence}') then
      return quote_literal(action) || ' is no action on a channel: subscribe, publish, presence';
    elsif jsonb_typeof(condition) = 'boolean' then
      continue;
    elsif jsonb_typeof(condition) <> 'string' then
      return format('%s: a condition is true, false or an expression, not %s', action, left(condition::text, 40));
    elsif expression ~ '^\s*$' then
      return action || ': an expression is not empty; write true or false';
    elsif length(expression) > 4096 then
      return action || ': an expression has at most 4096 characters';
    elsif expression ~ '[=!]==' then
      return action || ': CEL compares with == and !=, not with === and !==';
    end if;
  end loop;
  return null;
end
$$;
comment on function realtime.rule_problem(text, jsonb) is
  'Why this cannot be a row of realtime.rules, as far as that is known without compiling its expressions; null: it can. '
  'Servers compile them: /health, `realtime doctor` and `realtime rules check` list what they do not accept, and deny it';

create or replace function realtime.check_rule() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  problem text := realtime.rule_problem(new.channel, new.rules);
begin
  if problem is not null then
    raise exception '%', problem using errcode = 'RT007';
  end if;
  delete from realtime.rule_failures f
  where f.channel = new.channel and (new.rules -> f.action is distinct from f.condition
                                     or not exists (select from realtime.rules r where r.channel = new.channel));
  new.updated_at := now();
  return new;
end
$$;
comment on function realtime.check_rule() is
  'Trigger function: rejects a rule that no server could evaluate with RT007 and the reason; forgets the errors of the rule that it replaces';

create or replace view realtime.rule_errors as
select f.channel, f.action, f.condition, f.error, f.failed_in, f.failed_at
from realtime.rules r join realtime.rule_failures f on f.channel = r.channel and f.condition = r.rules -> f.action;
comment on view realtime.rule_errors is
  'Rules that do not compile, or raised an error when a server evaluated them: the last error of each. Both deny. Empty again when the rule is changed';
comment on column realtime.rule_errors.channel is 'the channel or pattern of the row of realtime.rules';
comment on column realtime.rule_errors.action is 'subscribe, publish or presence';
comment on column realtime.rule_errors.condition is 'the expression';
comment on column realtime.rule_errors.error is 'the last error that a server reported, in words';
comment on column realtime.rule_errors.failed_in is 'the channel in which it failed; null: it does not compile, and denies everywhere';
comment on column realtime.rule_errors.failed_at is 'when that was reported';

create or replace function realtime.set_rules(definition jsonb) returns realtime.rules
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  saved realtime.rules;
begin
  if coalesce(jsonb_typeof(definition), 'null') <> 'object' or jsonb_typeof(definition -> 'channel') is distinct from 'string'
      or definition - '{channel,rules}'::text[] <> '{}' then
    raise exception 'expected {"channel": "…", "rules": {…}}, not %', coalesce(left(definition::text, 80), 'null') using errcode = 'RT007';
  end if;
  insert into realtime.rules as r (channel, rules) values (definition ->> 'channel', definition -> 'rules')
  on conflict on constraint rules_pkey do update set rules = excluded.rules
  returning r.* into saved;
  return saved;
end
$$;
comment on function realtime.set_rules(jsonb) is
  'Save the rules of a channel or pattern, in place of those it had: {"channel": "private:room-1", "rules": {"subscribe": "auth.uid in data.members"}}';

create or replace function realtime.set_rules(definition json) returns realtime.rules
language sql set search_path = pg_catalog, pg_temp as $$ select realtime.set_rules(definition::jsonb) $$;
comment on function realtime.set_rules(json) is 'The same with a definition of type json';

create or replace function realtime.set_rules(definition text) returns realtime.rules
language sql set search_path = pg_catalog, pg_temp as $$ select realtime.set_rules(definition::jsonb) $$;
comment on function realtime.set_rules(text) is 'The same with a definition of type text';

create or replace function realtime.rule_for(channel text, action text default 'subscribe')
returns table (pattern text, condition jsonb)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select r.channel, r.rules -> rule_for.action
  from realtime.rules r
  where r.rules ? rule_for.action and realtime.rule_matches(rule_for.channel, r.channel)
    and (rule_for.channel <> 'admin:alerts' or rule_for.action = 'subscribe' and r.channel = rule_for.channel)
  order by r.channel = rule_for.channel desc,
           position('*' in r.channel) desc,
           length(replace(r.channel, '*', '')) desc,
           r.channel collate "C"
  limit 1
$$;
comment on function realtime.rule_for(text, text) is
  'The row of realtime.rules that decides about an action (subscribe, publish, presence) on a channel, and its condition. The order among rows that '
  'match and mention the action: the name itself; then the longest text before the first *; then the most characters that are no *; then '
  'the smaller pattern in the order of code points. No row: the kind of the channel decides. Of admin:alerts only a row of that name '
  'counts, and only for subscribe';

do $$
begin
  if exists (select from pg_catalog.pg_proc p
             where p.oid = pg_catalog.to_regprocedure('realtime.can(text, text, text)') and p.proargnames <> '{user_id,action,channel,decided,allowed,decided_by,condition,reason}') then
    drop function realtime.can(text, text, text);  -- of versions before, without the column decided
  end if;
end
$$;
create or replace function realtime.can(user_id text, action text, channel text)
returns table (decided boolean, allowed boolean, decided_by text, condition jsonb, reason text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  found_rule record;
  kind text := split_part(can.channel, ':', 1);
begin
  if can.action is null or can.action <> all ('{subscribe,publish,presence}') then
    raise exception '% is no action on a channel', coalesce(quote_literal(can.action), 'null')
      using errcode = 'RT007', hint = 'subscribe, publish, presence';
  elsif realtime.name_problem(can.channel) is not null then
    return query select true, false, 'the kind of the channel', null::jsonb, realtime.name_problem(can.channel);
    return;
  end if;
  select r.pattern, r.condition, e.error, e.error is not null and e.failed_in is null as broken,
         case when r.condition #>> '{}' ~ '^[ \t\r\n]*(true|false)[ \t\r\n]*$' then (r.condition #>> '{}')::boolean end as constant
  into found_rule
  from realtime.rule_for(can.channel, can.action) r
  left join realtime.rule_errors e on e.channel = r.pattern and e.action = can.action;
  if found_rule.pattern is not null then
    return query select
      found_rule.constant is not null or found_rule.broken,
      case when found_rule.broken then false else found_rule.constant end,
      'rule ' || found_rule.pattern, found_rule.condition,
      case when found_rule.broken then 'the expression does not compile, which denies: ' || found_rule.error
           when found_rule.constant is not null then 'a constant'
           else concat_ws('; ', 'an expression, which servers evaluate: ask with `realtime rules test` or POST /realtime/rules/test',
                          'its last error, which denied: ' || found_rule.error) end;
    return;
  end if;
  return query select
    found.allowed is not null, found.allowed, 'the kind of the channel', null::jsonb,
    case when kind = 'private' then 'without a rule, a private channel is open only to the user whom private:user-ID names'
         when kind = 'public' then 'without a rule, channels of this kind are open'
         when can.channel = 'admin:alerts'
           then 'a rule of exactly this name can let clients subscribe to the alerts, none lets them publish or be present'
         when kind = 'presence' and found.allowed then 'without a rule, channels of this kind are open to users'
         when kind = 'presence' then 'without a rule, the setting anonymous_channels of the servers decides: ask with `realtime rules test` or POST /realtime/rules/test'
         else 'without a rule, the settings open_channels and, for anonymous clients, anonymous_channels of the servers decide: '
              'ask with `realtime rules test` or POST /realtime/rules/test' end
  from (select case when kind = 'private' then can.user_id is not null and can.channel = 'private:user-' || can.user_id
                    when kind = 'public' or kind = 'presence' and can.user_id is not null then true
                    when can.channel = 'admin:alerts' then false end) found (allowed);
end
$$;
comment on function realtime.can(text, text, text) is
  'Whether an authenticated user (null: an anonymous client) may subscribe, publish or be present, and what decides. Where PostgreSQL cannot know that, '
  'decided is false and allowed null: an expression of CEL is evaluated, and the settings open_channels and anonymous_channels are read, by the servers; '
  '`realtime rules test` does both';
