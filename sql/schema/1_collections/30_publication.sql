-- Membership of tables in the publication bunbase_realtime, and the statement that adds one.

create or replace function realtime.is_listed(relation regclass) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (
    select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid
    where p.pubname = 'bunbase_realtime' and r.prrelid = relation
  )
$$;
comment on function realtime.is_listed(regclass) is
  'Whether the publication bunbase_realtime names a table, which then can be removed from it; see realtime.is_published()';

create or replace function realtime.is_published(relation regclass) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  whole boolean := false;
begin
  if realtime.is_listed(relation) or exists (select from pg_publication p where p.pubname = 'bunbase_realtime' and p.puballtables) then
    return true;
  end if;
  -- publications of schemas exist since PostgreSQL 15
  if current_setting('server_version_num')::int >= 150000 then
    execute $query$
      select exists (
        select from pg_publication_namespace s
        join pg_publication p on p.oid = s.pnpubid and p.pubname = 'bunbase_realtime'
        join pg_class c on c.relnamespace = s.pnnspid and c.oid = $1)
    $query$ into whole using relation;
  end if;
  return whole;
end
$$;
comment on function realtime.is_published(regclass) is
  'Whether a table is in the publication bunbase_realtime: by its name, by that of its schema, or because all tables are';

create or replace function realtime.lock_writers(relation regclass) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  -- Writers that are under way finish first and new ones wait until this commits: a transaction that wrote before the
  -- table was published and commits after it would otherwise be half in the stream.
  execute format('lock table %s in share row exclusive mode', relation);
end
$$;
comment on function realtime.lock_writers(regclass) is 'Waits for transactions that have written to a table and holds new ones back until this one ends';

create or replace function realtime.publish_table(relation regclass) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if realtime.is_published(relation) then
    return false;
  end if;
  perform realtime.lock_writers(relation);
  execute format('alter publication bunbase_realtime add table only %s', relation);
  return true;
end
$$;
comment on function realtime.publish_table(regclass) is 'Adds a table to the publication while no transaction writes to it. Returns false, and takes no lock, if it is there already';
