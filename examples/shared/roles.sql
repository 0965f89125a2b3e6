-- The role that tokens without the claim `role` have. It reads what is granted to it, through the policies of the tables.
do $$
begin
  create role authenticated nologin;
exception when duplicate_object then null;
end
$$;
select realtime.serve_role('authenticated');
