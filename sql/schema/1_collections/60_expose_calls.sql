-- realtime.expose() and realtime.unexpose(): for the owner of a table, which need not own the schema realtime or the publication.
--
-- The work needs the rights of the schema's owner, and a check of the caller. A SECURITY DEFINER function cannot make that check: in it
-- current_user is its owner, and session_user is wrong wherever PostgreSQL runs code of a table's owner in another's session (functions in
-- indexes while autovacuum analyses, triggers in an apply worker). So the call goes through a view: its column "caller" has the
-- default current_user, evaluated with the caller's rights, and no role has INSERT on that column. The INSTEAD OF trigger then runs as the owner.

create or replace view realtime.collection_calls as
select null::name as caller, null::text as call, null::regclass as relation, null::text as collection, null::name[] as columns,
       null::boolean as camel_case, null::text as replica_identity
where false;
alter view realtime.collection_calls alter column caller set default current_user;
revoke all on realtime.collection_calls from public;
grant insert (call, relation, collection, columns, camel_case, replica_identity), select on realtime.collection_calls to public;
comment on view realtime.collection_calls is 'Calls of realtime.expose() and realtime.unexpose() by owners of tables; has no rows';

create or replace function realtime.refuse_caller(caller name, call text, relation regclass) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  target record;
begin
  select c.oid, c.relowner, c.relnamespace, n.nspowner, n.nspname into target
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation;
  if not has_function_privilege(caller, case call when 'expose' then 'realtime.expose(regclass, text, name[], boolean, text, name)'
                                                  else 'realtime.unexpose(text)' end, 'execute') then
    raise exception 'role % may not execute realtime.%()', quote_ident(caller), call using errcode = 'insufficient_privilege';
  elsif target.oid is null then
    return;  -- its table is gone: nothing is taken from an owner
  elsif not pg_has_role(caller, target.relowner, 'usage') then
    raise exception 'must be owner of table %', relation using errcode = 'insufficient_privilege',
      hint = format('It belongs to %I. A superuser, or a member of that role, may %s it.', pg_get_userbyid(target.relowner), call);
  elsif not pg_has_role(current_user, target.relowner, 'usage') then
    raise exception 'the schema realtime belongs to %, which may not publish tables of %', quote_ident(current_user),
      quote_ident(pg_get_userbyid(target.relowner)) using errcode = 'insufficient_privilege',
      hint = format('GRANT %I TO %I;', pg_get_userbyid(target.relowner), current_user);
  elsif call = 'expose' and not has_schema_privilege('realtime_reader', target.relnamespace, 'usage') and not (
    has_schema_privilege(caller, target.relnamespace, 'usage with grant option')
    and has_schema_privilege(current_user, target.relnamespace, 'usage with grant option')
  ) then
    raise exception 'the role realtime_reader, which runs clients'' SQL, may not use schema %', quote_ident(target.nspname)
      using errcode = 'insufficient_privilege',
            hint = format('As %I: GRANT USAGE ON SCHEMA %I TO realtime_reader;', pg_get_userbyid(target.nspowner), target.nspname);
  end if;
end
$$;
comment on function realtime.refuse_caller(name, text, regclass) is
  'Raises insufficient_privilege, with the GRANT to run, unless a role may expose (unexpose) a table and the current one may do it for that role';

create or replace function realtime.refuse_partitions(caller name, relation regclass, replica_identity text) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  other record;
begin
  -- The owner of a partitioned table need not own its partitions; PostgreSQL lets only the owner change a replica identity or enable a trigger.
  select c.oid::regclass as name, pg_get_userbyid(c.relowner) as owner, not pg_has_role(caller, c.relowner, 'usage') as foreign_to_caller
    into other
  from realtime.leaves(relation) m (oid)
  join pg_class c on c.oid = m.oid
  where c.oid <> relation
    and (not pg_has_role(caller, c.relowner, 'usage') or not pg_has_role(current_user, c.relowner, 'usage'))
    and (c.relreplident <> left(lower(replica_identity), 1)::"char" or c.oid in (select realtime.unwatched_partitions(relation)))
  order by c.oid limit 1;
  if not found then
    return;
  elsif other.foreign_to_caller then
    raise exception 'must be owner of partition %', other.name using errcode = 'insufficient_privilege',
      hint = format('It belongs to %I, and exposing %s would change its replica identity or make a trigger on it. '
                    'A superuser, or a member of that role, may expose %s.', other.owner, relation, relation);
  end if;
  raise exception 'the schema realtime belongs to %, which may not change partition % of %', quote_ident(current_user), other.name,
    quote_ident(other.owner) using errcode = 'insufficient_privilege', hint = format('GRANT %I TO %I;', other.owner, current_user);
end
$$;
comment on function realtime.refuse_partitions(name, regclass, text) is
  'Raises insufficient_privilege if exposing a table would change a partition whose owner the caller, or the current role, is not';

create or replace function realtime.serve_collection_call() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if new.call = 'expose' then
    perform realtime.refuse_table(new.relation);
    perform realtime.refuse_caller(new.caller, new.call, new.relation);
    perform realtime.refuse_partitions(new.caller, new.relation, new.replica_identity);
    new.collection := realtime.expose_table(new.relation, new.collection, new.columns, new.camel_case, new.replica_identity);
  elsif new.call = 'unexpose' then
    perform realtime.refuse_caller(new.caller, new.call, (select c.relation from realtime.collections c where c.name = new.collection));
    perform realtime.unexpose_table(new.collection);
  else
    raise exception 'call % is not known', quote_nullable(new.call) using errcode = 'invalid_parameter_value';
  end if;
  return new;
end
$$;
comment on function realtime.serve_collection_call() is 'Trigger function: checks the caller and does the work as the owner of the schema realtime';
create or replace trigger serve_collection_call instead of insert on realtime.collection_calls
  for each row execute function realtime.serve_collection_call();

create or replace function realtime.is_schema_owner() returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select pg_has_role(current_user, n.nspowner, 'usage') from pg_namespace n where n.nspname = 'realtime'
$$;
comment on function realtime.is_schema_owner() is 'Whether the current role has the privileges of the owner of the schema realtime';

drop function if exists realtime.expose(regclass, text, name[], boolean, text);  -- of versions before, without owner_only
create or replace function realtime.expose(
  relation regclass,
  name text default null,
  columns name[] default null,
  camel_case boolean default false,
  replica_identity text default null,
  owner_only name default ''
) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  made text;
begin
  if owner_only is distinct from '' then
    perform realtime.limit_to_owner(expose.relation, owner_only);
  end if;
  if realtime.is_schema_owner() then  -- may own tables, too, that the schema's owner does not: a superuser
    perform realtime.grant_type_schemas(relation);
    return realtime.expose_table(relation, name, columns, camel_case, replica_identity);
  end if;
  insert into realtime.collection_calls as c (call, relation, collection, columns, camel_case, replica_identity)
  values ('expose', expose.relation, expose.name, expose.columns, expose.camel_case, expose.replica_identity)
  returning c.collection into made;
  return made;
end
$$;
comment on function realtime.expose(regclass, text, name[], boolean, text, name) is
  'Let clients subscribe to a table as db:collection:NAME. columns: those they may see and query (null: all); camel_case: '
  'created_at is shown as createdAt; replica_identity: ''full'' sets it first, for a table without primary key; owner_only: the column with the '
  'user who alone sees a row (null: takes that back; empty: as it is). For the owner of the table. '
  'Waits for writers of a table that is not published yet, and holds them back until the transaction ends. Returns the name of the collection.';

create or replace function realtime.unexpose(collection text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if realtime.is_schema_owner() then
    perform realtime.unexpose_table(collection);
  else
    insert into realtime.collection_calls (call, collection) values ('unexpose', unexpose.collection);
  end if;
end
$$;
comment on function realtime.unexpose(text) is
  'Close a collection: its live queries end with an error, its table leaves the publication, and what expose() did for owner_only is undone. '
  'For the owner of the table';
