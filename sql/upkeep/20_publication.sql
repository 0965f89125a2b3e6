-- The publication as it must be, with the tables of this schema in it. Those that are exposed follow in 35_collections.sql.

do $$
declare
  -- stored generated columns can be published since PostgreSQL 18
  generated constant text := case when current_setting('server_version_num')::int >= 180000 then ', publish_generated_columns = stored' else '' end;
  complete boolean;
  missing text;
begin
  select pubviaroot and pubinsert and pubupdate and pubdelete and pubtruncate
         and (generated = '' or to_jsonb(p) ->> 'pubgencols' = 's') 
    into complete from pg_catalog.pg_publication p where p.pubname = 'bunbase_realtime';
  if not found then
    execute format('create publication bunbase_realtime with (publish_via_partition_root = true%s)', generated);
    raise info 'made the publication bunbase_realtime';
  elsif not complete then
    execute format('alter publication bunbase_realtime set (publish = ''insert, update, delete, truncate'', publish_via_partition_root = true%s)',
                   generated);
    raise info 'set what the publication bunbase_realtime publishes';
  end if;
  select string_agg(format('realtime.%I', t.name), ', ') into missing
  from unnest('{channel_defaults,channels,messages,connections,presence,routes,preferences,content_policies,rules,api_keys,sessions}'::text[]) t (name)
  where not realtime.is_published(format('realtime.%I', t.name)::regclass);
  if missing is not null then
    execute 'alter publication bunbase_realtime add table ' || missing;
    raise info 'added % to the publication', missing;
  end if;
end
$$;
