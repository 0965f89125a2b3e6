-- The role that tokens without the claim `role` have. It reads what is granted to it, through the policies of the tables.
do $$
begin
  create role authenticated nologin;
exception when duplicate_object then null;
end
$$;
select realtime.serve_role('authenticated');

-- The role of the back end. It may publish and manage rooms, and has the tables that each example grants to it. Row-level security
-- is about clients; whose rows the back end writes is what the functions look at.
do $$
begin
  create role examples login bypassrls;
exception when duplicate_object then null;
end
$$;
grant realtime_publisher to examples;
