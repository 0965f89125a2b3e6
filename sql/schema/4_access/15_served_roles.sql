-- Roles that subscribers read as, so that PostgreSQL applies policies and privileges for them. For each there is a function "read_as:ROLE":
-- realtime.read_as_reader() with another owner. Only the roles that serve may call it; in it the role cannot be left.

create or replace function realtime.reading_of(role name) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select replace(p.prosrc, '''realtime_reader''', quote_literal(role))
  from pg_proc p
  where p.oid = 'realtime.read_as_reader(text, text[], boolean, oid, text[], text[], integer[], boolean)'::regprocedure
$$;
comment on function realtime.reading_of(name) is 'The body of the function that reads for a served role';

create or replace function realtime.served_roles() returns table (role oid, name name, reading oid)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select r.oid, r.rolname, p.oid
  from pg_proc p join pg_roles r on r.oid = p.proowner
  where p.pronamespace = 'realtime'::regnamespace and p.prosecdef and p.proname::text = 'read_as:' || r.rolname
$$;
comment on function realtime.served_roles() is 'The roles that subscribers may read as: those of realtime.serve_role()';

create or replace function realtime.serve_role(role name) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  target pg_roles;
  reading text := format('realtime.%I', 'read_as:' || role);
  signature text := reading || '(text, text[], boolean, oid, text[], text[], integer[], boolean)';
  holder name;
begin
  select * into target from pg_roles r where r.rolname = role;
  if not found then
    raise exception 'role % does not exist', quote_ident(role) using errcode = 'undefined_object', hint = format('CREATE ROLE %I NOLOGIN;', role);
  elsif octet_length('read_as:' || role) > 63 then
    raise exception 'the name of role % is longer than 55 bytes', quote_ident(role) using errcode = 'name_too_long';
  elsif target.rolsuper or pg_has_role(role, (select n.nspowner from pg_namespace n where n.nspname = 'realtime'), 'member') then
    raise exception 'clients cannot read as %, which is a superuser or has the rights of the owner of the schema realtime', quote_ident(role)
      using errcode = 'insufficient_privilege', hint = 'Serve a role that has only what its users may see.';
  elsif role = 'realtime_reader' or exists (select from realtime.server_roles s where s.role = serve_role.role) then
    raise exception 'role % runs the server or reads for it', quote_ident(role) using errcode = 'insufficient_privilege',
      hint = 'Serve a role that has only what its users may see.';
  end if;
  execute format('create or replace function %s(statement text, params text[], by_path boolean, relation oid, name text[], columns text[], '
                 'attnums integer[], explained boolean default false) returns setof record language plpgsql security definer as %L',
                 reading, realtime.reading_of(role));
  execute format('revoke all on function %s from public', signature);
  if (select p.proowner from pg_proc p where p.oid = signature::regprocedure) <> target.oid then
    execute format('grant create on schema realtime to %I', role);  -- which a new owner must have (docs: ALTER FUNCTION)
    execute format('alter function %s owner to %I', signature, role);
    execute format('revoke create on schema realtime from %I', role);
  end if;
  for holder in
    select r.rolname from pg_namespace n join pg_roles r on r.oid = n.nspowner where n.nspname = 'realtime'
    union
    select s.role from realtime.server_roles s join pg_roles r on r.rolname = s.role
  loop
    execute format('grant execute on function %s to %I', signature, holder);
  end loop;
  perform pg_logical_emit_message(true, 'realtime.ddl', '{"tag": "SERVE ROLE", "oids": [], "all": true}');
end
$$;
comment on function realtime.serve_role(name) is
  'Lets subscribers with this role in their token read as it, under its policies and privileges. For a superuser, or the owner of the schema '
  'realtime if it is a member of the role';

create or replace function realtime.unserve_role(role name) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  execute format('drop function if exists realtime.%I(text, text[], boolean, oid, text[], text[], integer[], boolean)', 'read_as:' || role);
  perform pg_logical_emit_message(true, 'realtime.ddl', '{"tag": "UNSERVE ROLE", "oids": [], "all": true}');
end
$$;
comment on function realtime.unserve_role(name) is 'Subscribers no longer read as this role; their live queries over tables with row-level security end';
