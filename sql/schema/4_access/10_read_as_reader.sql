-- Where queries of clients are planned and run: as realtime_reader, in a function from which that role cannot be left.
--
-- What a query calls may be made by the owners of tables: casts, operators, functions in indexes and views, also after the query was judged.
-- A role that was set in the session can be left by any of it (SET ROLE NONE); in a SECURITY DEFINER function PostgreSQL refuses that
-- (guc.c: "cannot set parameter ... within security-definer function"). sql/upkeep/45_reader.sql gives the function to realtime_reader, the
-- only role that may call it: servers become that role first. So it gives no rights to its caller, and the caller's search_path is as
-- good as one that it would set.
--
-- realtime.serve_role() makes functions of the same body for other roles.

create or replace function realtime.use_path_of_role() returns text
language plpgsql as $$
begin
  return pg_catalog.set_config('search_path', coalesce((  -- inside, null is the default (docs: set_config)
    select pg_catalog.string_agg(part[1], ', ' order by place)
    from pg_catalog.regexp_matches(pg_catalog.set_config('search_path', null, true), '"(?:[^"]|"")*"|[^,"\s][^,\s]*', 'g')
         with ordinality parts (part, place)
    where pg_catalog.lower(part[1]) operator(pg_catalog.<>) all ('{"\"$user\"","$user"}'::pg_catalog.text[])), ''), true);
end
$$;
revoke all on function realtime.use_path_of_role() from public;
comment on function realtime.use_path_of_role() is
  'Names are resolved by the search_path of the role or the database until the end of the transaction: clients'' SQL is read so. "$user" stands for no schema, '
  'as any role with CREATE on the database can make one of that name';

drop function if exists realtime.read_as_reader(text, text[], boolean, oid, text[], text[], integer[]);  -- of versions before
-- It belongs to realtime_reader since the first migrate. With the rights of that role it is replaced in place. Without them, the owner of the
-- schema can only drop it, and a statement of a running node that is about to call it fails.
do $$
begin
  if exists (
    select from pg_catalog.pg_proc p
    where p.oid = pg_catalog.to_regprocedure('realtime.read_as_reader(text, text[], boolean, oid, text[], text[], integer[], boolean)')
      and not pg_catalog.pg_has_role(p.proowner, 'usage')
  ) then
    drop function realtime.read_as_reader(text, text[], boolean, oid, text[], text[], integer[], boolean);
  end if;
end
$$;
create or replace function realtime.read_as_reader(
  statement text, params text[], by_path boolean, relation oid, name text[], columns text[], attnums integer[],
  explained boolean default false
) returns setof record
language plpgsql security definer as $$
begin
  if current_user operator(pg_catalog.<>) 'realtime_reader' then
    raise exception 'the function that reads as % must belong to it', 'realtime_reader' using errcode = 'insufficient_privilege',
      hint = 'Run: realtime migrate';
  end if;
  perform pg_catalog.set_config('transaction_read_only', 'on', true);
  if exists (select from pg_catalog.pg_prepared_statements p where p.name operator(pg_catalog.=) 'realtime_read') then
    deallocate realtime_read;  -- of a read that failed
  end if;
  if by_path then
    perform realtime.use_path_of_role();
  end if;
  -- PREPARE resolves names, and locks what they mean until the end of the transaction; EXECUTE runs what was resolved.
  execute 'prepare realtime_read as ' operator(pg_catalog.||) statement;
  if relation is not null and exists (
    select from rows from (pg_catalog.unnest(columns), pg_catalog.unnest(attnums)) c (name, attnum)
    cross join lateral pg_catalog.pg_get_object_address('table column', $5 operator(pg_catalog.||) c.name, '{}') a
    where a.objid operator(pg_catalog.<>) relation or a.objsubid operator(pg_catalog.<>) c.attnum
  ) then
    raise exception 'the names of a query mean other columns now' using errcode = 'RT011';
  end if;
  return query execute case when explained then 'explain ' else '' end operator(pg_catalog.||)
    'execute realtime_read' operator(pg_catalog.||) coalesce((
    select '(' operator(pg_catalog.||) pg_catalog.string_agg(pg_catalog.quote_nullable(p.value), ', ' order by p.place) operator(pg_catalog.||) ')'
    from pg_catalog.unnest(params) with ordinality p (value, place)), '');
  deallocate realtime_read;
end
$$;
comment on function realtime.read_as_reader(text, text[], boolean, oid, text[], text[], integer[], boolean) is
  'The rows of a statement, or the lines of its EXPLAIN, as realtime_reader; the transaction writes nothing from then on. '
  'With a relation: RT011 unless its columns of these names have these numbers';
revoke all on function realtime.read_as_reader(text, text[], boolean, oid, text[], text[], integer[], boolean) from public;

create or replace function realtime.equip_reader() returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  reading constant regprocedure := 'realtime.read_as_reader(text, text[], boolean, oid, text[], text[], integer[], boolean)';
  changed boolean := false;
begin
  if not has_schema_privilege('realtime_reader', 'realtime', 'usage') then
    grant usage on schema realtime to realtime_reader;
    changed := true;
  end if;
  if not has_function_privilege('realtime_reader', 'realtime.use_path_of_role()', 'execute') then
    grant execute on function realtime.use_path_of_role() to realtime_reader;
    changed := true;
  end if;
  if (select p.proowner from pg_proc p where p.oid = reading) <> 'realtime_reader'::regrole then
    grant create on schema realtime to realtime_reader;  -- which a new owner must have (docs: ALTER FUNCTION)
    execute format('alter function %s owner to realtime_reader', reading);
    revoke create on schema realtime from realtime_reader;
    changed := true;
  end if;
  return changed;
exception when insufficient_privilege then
  raise warning 'realtime: % may not give realtime_reader the function that it reads with, which serving needs: GRANT realtime_reader TO %; then migrate again',
    quote_ident(current_user), quote_ident(current_user);
  return false;
end
$$;
comment on function realtime.equip_reader() is
  'Gives realtime_reader the schema, realtime.use_path_of_role() and realtime.read_as_reader(), unless it has them. To be called by the owner of the schema. False: it had them';
select realtime.equip_reader();
