-- Privileges are not in a dump of another cluster's roles, and a function that was dropped and made again has lost its own.

-- PUBLIC may execute functions unless that is revoked. Those that stay open check privileges by what they do.
do $$
declare
  one record;
begin
  for one in
    select p.oid::regprocedure as signature
    from pg_catalog.pg_proc p
    where p.pronamespace = 'realtime'::regnamespace and has_function_privilege('public', p.oid, 'execute')
      and p.oid <> all ('{"realtime.expose(regclass,text,name[],boolean,text,name)",realtime.unexpose(text),realtime.is_schema_owner(),
                          realtime.identity_problem(regclass),realtime.leaves(regclass),realtime.unwatched_partitions(regclass),
                          realtime.watch_partitions(regclass),realtime.partition_truncated(),realtime.privileges_for(text),
                          "realtime.missing_privileges(name,text)",realtime.served_roles(),realtime.owner_only_comment(regclass),
                          "realtime.refuse_owner_only(regclass,name)","realtime.limit_to_owner(regclass,name)"}'::regprocedure[])
  loop
    execute format('revoke all on function %s from public', one.signature);
  end loop;
end
$$;

select realtime.grant_missing('realtime_publisher', 'publish');
select realtime.grant_missing('pg_monitor', 'monitor');

do $$
declare
  one record;
begin
  for one in select s.role, r.rolname is not null as known from realtime.server_roles s left join pg_catalog.pg_roles r on r.rolname = s.role loop
    if one.known then
      perform from realtime.grant_missing(one.role, 'serve');
    else
      raise warning 'realtime: role % of realtime.server_roles does not exist in this cluster: create it and migrate again, or delete its row',
        quote_ident(one.role);
    end if;
  end loop;
end
$$;
