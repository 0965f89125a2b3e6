-- Where a dump is restored without the role realtime_reader, the restoring role owns the function that realtime_reader reads with.

do $$
begin
  if realtime.equip_reader() then
    raise info 'gave realtime_reader the functions of the schema realtime that it reads with';
  end if;
end
$$;
