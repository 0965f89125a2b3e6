-- Runs first at each migrate. Roles belong to the cluster: a dump of the database does not have them, so a restored database may come without.

do $$
declare
  wanted record;
begin
  for wanted in
    select * from (values ('realtime_reader', 'nologin noinherit'), ('realtime_publisher', 'nologin')) w (name, options)
    where not exists (select from pg_catalog.pg_roles r where r.rolname = w.name)
  loop
    begin
      execute format('create role %I %s', wanted.name, wanted.options);
      raise info 'made the role %', wanted.name;
    exception
      when duplicate_object or unique_violation then
        null;  -- another database of this cluster made it at the same moment
      when insufficient_privilege then
        raise exception 'the role % does not exist, and % may not create roles', wanted.name, quote_ident(current_user)
          using errcode = 'insufficient_privilege',
                hint = format('As a role with CREATEROLE: CREATE ROLE %I %s;', wanted.name, upper(wanted.options));
    end;
  end loop;
end
$$;

-- Clients' queries run as realtime_reader, so the role that migrates (and may serve) must be able to become it. Since PostgreSQL 16 a
-- role with CREATEROLE is a member of the roles it makes, but may not SET ROLE to them before it has granted that to itself.
do $$
begin
  if not pg_has_role(current_user, 'realtime_reader',
                     case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end) then
    execute format('grant realtime_reader to %I', current_user);
    raise info 'granted realtime_reader to %', quote_ident(current_user);
  end if;
exception when insufficient_privilege then
  raise warning 'realtime: % cannot become realtime_reader, which serving needs: GRANT realtime_reader TO %;', quote_ident(current_user), quote_ident(current_user);
end
$$;
