-- Fills the tables if they are empty, and lets clients subscribe to them.

do $$
begin
  if not exists (select from public.messages) and not exists (select from public.products)
     and not exists (select from public.orders) then
    perform public.demo_reset();
  end if;
end
$$;

select realtime.expose('public.messages', camel_case => true);
select realtime.expose('public.products', camel_case => true);
select realtime.expose('public.orders', camel_case => true);
