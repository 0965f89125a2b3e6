-- The functions that served roles read with are those of this version.

do $$
declare
  one record;
begin
  for one in
    select s.name from realtime.served_roles() s join pg_catalog.pg_proc p on p.oid = s.reading where p.prosrc <> realtime.reading_of(s.name)
  loop
    begin
      perform realtime.serve_role(one.name);
      raise info 'made the function again that reads as %', one.name;
    exception when insufficient_privilege then
      raise warning 'realtime: % may not renew the function that reads as %: GRANT % TO %; then migrate again',
        quote_ident(current_user), quote_ident(one.name), quote_ident(one.name), quote_ident(current_user);
    end;
  end loop;
end
$$;
