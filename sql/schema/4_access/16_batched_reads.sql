-- One statement read as a served role for many sets of claims and values: one round trip, one snapshot, however many subscribers.
--
-- In each set the statement is planned and run by the function of the role (15_served_roles.sql), as for one set alone: a plan that is kept could
-- have folded a function that reads claims. A subtransaction that is rolled back undoes what policies set (a function may keep the user it found
-- in a setting), and keeps an error to the set that raised it. What is returned is not undone with it.

do $$  -- of versions before, with other names of the bounds: a replaced function keeps the names of its arguments
begin
  if exists (
    select from pg_catalog.pg_proc p
    where p.oid = pg_catalog.to_regprocedure(
      'realtime.read_for_each(name, text, text[], oid, text[], text[], integer[], text, text, text[], integer, integer, integer)')
      and p.proargnames[11] <> 'max_rows'
  ) then
    drop function realtime.read_for_each(name, text, text[], oid, text[], text[], integer[], text, text, text[], integer, integer, integer);
  end if;
end
$$;
create or replace function realtime.read_for_each(
  role name, statement text, params text[], relation oid, name text[], columns text[], attnums integer[], path text,
  setting text, claims text[], max_rows integer, max_bytes integer, max_milliseconds integer
) returns table (place integer, complete boolean, id text, doc text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  reading constant text := format('select r.id, r.doc from realtime.%I($1, $2, false, $3, $4, $5, $6) as r (id text, doc text)', 'read_as:' || role);
  until constant timestamptz := clock_timestamp() + make_interval(secs => max_milliseconds / 1000.0);
  own_params text[];
  finished boolean;
  total_rows integer := 0;
  total_bytes bigint := 0;
begin
  for number in 1 .. cardinality(claims) loop
    exit when number > 1 and (total_rows > max_rows or total_bytes > max_bytes or clock_timestamp() > until);
    place := number;
    complete := null;
    finished := false;
    own_params := case when array_ndims(params) = 2 then array(select unnest(params[number:number])) else params end;
    begin
      perform pg_catalog.set_config(setting, claims[number], true), pg_catalog.set_config('search_path', path, true);
      -- From here on names are the operator's, so those of this function are qualified.
      for id, doc in execute reading using statement, own_params, relation, name, columns, attnums loop
        total_rows := total_rows operator(pg_catalog.+) 1;
        total_bytes := total_bytes operator(pg_catalog.+) coalesce(pg_catalog.octet_length(doc), 0);
        exit when total_bytes operator(pg_catalog.>) max_bytes and number operator(pg_catalog.>) 1;
        return next;
      end loop;
      finished := total_bytes operator(pg_catalog.<=) max_bytes or number operator(pg_catalog.=) 1;
      raise exception 'the settings of these claims are undone';
    exception when others then
      null;  -- of a set that failed the caller learns by reading it alone
    end;
    complete := finished;
    id := null;
    doc := null;
    return next;
  end loop;
end
$$;
comment on function realtime.read_for_each(name, text, text[], oid, text[], text[], integer[], text, text, text[], integer, integer, integer) is
  'The rows of a statement of two text columns as a served role, for each of the claims in turn, with its own row of params if these are an array of arrays: place is that of the claims. After the rows of one '
  'place comes a row with complete: whether they are all; false after an error, or with too many bytes. Sets beyond the bounds are not begun. To be '
  'called in a transaction with one snapshot and row_security on; path is the search_path of what is read';
