-- A dump that is restored where the role realtime_reader is missing leaves the function it reads with to who restores it.

do $$
begin
  if realtime.equip_reader() then
    raise info 'gave realtime_reader the functions of the schema realtime that it reads with';
  end if;
end
$$;
