-- realtime.expose(…, owner_only => 'user_id'): the commonest policy. Each user sees the rows that have the claim "sub" in a column.
--
-- The policy has a fixed name, and its comment marks it as made by expose(), with what expose() did: only that is changed and undone.

create or replace function realtime.owner_only_comment(relation regclass) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select d.description
  from pg_policy p join pg_description d on d.classoid = 'pg_policy'::regclass and d.objoid = p.oid and d.objsubid = 0
  where p.polrelid = relation and p.polname = 'realtime_owner_only' and d.description like 'realtime.expose(owner_only => %'
$$;
comment on function realtime.owner_only_comment(regclass) is 'The comment on the policy that realtime.expose() made for owner_only; null: there is none';

create or replace function realtime.refuse_owner_only(relation regclass, owner name) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  others text;
  type regtype;
begin
  select a.atttypid::regtype into type
  from pg_attribute a where a.attrelid = relation and a.attname = owner and a.attnum > 0 and not a.attisdropped;
  if not found then
    raise exception '% has no column %', relation, quote_ident(owner) using errcode = 'undefined_column';
  elsif type not in ('text', 'character varying', 'uuid', 'smallint', 'integer', 'bigint') then
    raise exception 'column % of % has type %, and an owner is a text, a uuid or an integer', quote_ident(owner), relation, type
      using errcode = 'datatype_mismatch', hint = 'Write the policy yourself: CREATE POLICY.';
  elsif not exists (select from realtime.served_roles()) then
    raise exception 'no role is served that a policy of % could be for', relation
      using errcode = 'object_not_in_prerequisite_state', hint = 'SELECT realtime.serve_role(''ROLE''); for each role that tokens may name.';
  end if;
  select string_agg(quote_ident(p.polname), ', ' order by p.polname) into others
  from pg_policy p
  where p.polrelid = relation and not (p.polname = 'realtime_owner_only' and realtime.owner_only_comment(relation) is not null);
  if others is not null then
    raise exception '% has policies that expose() did not make: %', relation, others using errcode = 'object_not_in_prerequisite_state',
      hint = 'With them it depends on more than owner_only which rows are seen. Drop them, or write the policy for owners yourself.';
  end if;
end
$$;
comment on function realtime.refuse_owner_only(regclass, name) is 'Raises an error with the reason if rows of a table cannot be limited to their owner';

create or replace function realtime.limit_to_owner(relation regclass, owner name) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  present text := realtime.owner_only_comment(relation);
  secured boolean := (select c.relrowsecurity from pg_class c where c.oid = relation);
  roles text := (select string_agg(quote_ident(s.name), ', ' order by s.name) from realtime.served_roles() s);
  wanted text;
  type regtype;
begin
  if owner is null then
    if present is not null then
      execute format('drop policy realtime_owner_only on %s', relation);
      if present like '%; row-level security was off' and not exists (select from pg_policy p where p.polrelid = relation) then
        execute format('alter table %s disable row level security', relation);
      end if;
    end if;
    return;
  end if;
  perform realtime.refuse_owner_only(relation, owner);
  wanted := format('realtime.expose(owner_only => %L) for %s; row-level security was %s', owner, roles,
                   case when not secured or present like '%; row-level security was off' then 'off' else 'on' end);
  if not secured then
    execute format('alter table %s enable row level security', relation);
  end if;
  if wanted = present then
    return;
  elsif present is not null then
    execute format('drop policy realtime_owner_only on %s', relation);
  end if;
  select a.atttypid::regtype into type from pg_attribute a where a.attrelid = relation and a.attname = owner and a.attnum > 0;
  execute format('create policy realtime_owner_only on %s for select to %s using (%I = (nullif(current_setting(''request.jwt.claims'', true), '''')::json '
                 '->> ''sub'')::%s)', relation, roles, owner, type);
  execute format('comment on policy realtime_owner_only on %s is %L', relation, wanted);
end
$$;
comment on function realtime.limit_to_owner(regclass, name) is
  'Lets users of the served roles see the rows that have their claim "sub" in a column, and no others (null: takes that back, as far as '
  'expose() made it). For the owner of the table';
