-- Exposed tables are published and readable for clients' SQL, and their partitions announce TRUNCATE: restored where that was undone.

do $$
declare
  one record;
  notice text;
begin
  for one in
    select c.name from realtime.collections c where not exists (select from pg_catalog.pg_class t where t.oid = c.relation)
  loop
    delete from realtime.collections c where c.name = one.name;
    raise info 'removed the collection %, whose table is gone', one.name;
  end loop;
  for one in
    select c.name, c.relation, c.columns, t.relkind from realtime.collections c join pg_catalog.pg_class t on t.oid = c.relation order by c.name
  loop
    if realtime.publish_table(one.relation) then
      raise info 'added % (collection %) to the publication', one.relation, one.name;
    end if;
    if one.relkind = 'p' and exists (select from realtime.unwatched_partitions(one.relation))
       and realtime.try_to_watch_partitions(one.relation) then
      raise info 'made or enabled the trigger realtime_truncate on partitions of %', one.relation;
    end if;
    begin
      perform realtime.publish_policy_tables(one.relation);
    exception when feature_not_supported or object_not_in_prerequisite_state then
      raise warning 'realtime: the collection % cannot be followed: %', one.name, sqlerrm;
    end;
    perform realtime.grant_type_schemas(one.relation);
    notice := realtime.restore_reader(one.name);
    if notice is not null then
      raise info '%', notice;
    end if;
  end loop;
end
$$;
