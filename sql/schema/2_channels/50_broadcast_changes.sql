-- A trigger for business tables: every change of a row becomes a message.
--
--   create trigger announce after insert or update or delete on orders
--     for each row execute function realtime.broadcast_changes('orders:{customer_id}');
--
-- Roles that write to the table need no privilege here, so it runs as its owner. It takes no lock that another
-- transaction could wait for, and it never makes the write fail because of a channel: a message that cannot be sent is dropped.

create or replace function realtime.value_as_json(value text, type oid) returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  kind pg_type;
begin
  select * into kind from pg_type t where t.oid = type;
  if value is null then
    return 'null';
  elsif kind.typtype = 'd' then
    return realtime.value_as_json(value, kind.typbasetype);
  elsif kind.typtype = 'c' then
    return realtime.row_text_as_json(value, kind.typrelid);
  elsif type in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'float4'::regtype, 'float8'::regtype, 'numeric'::regtype) then
    return to_jsonb(value::numeric);
  elsif type = 'bool'::regtype then
    return to_jsonb(value::bool);
  elsif type in ('json'::regtype, 'jsonb'::regtype) then
    return value::jsonb;
  elsif type = 'date'::regtype then
    return to_jsonb(value::date);
  elsif type = 'timestamp'::regtype then
    return to_jsonb(value::timestamp);
  elsif type = 'timestamptz'::regtype then
    return to_jsonb(value::timestamptz);
  elsif type = 'box[]'::regtype then  -- arrays whose elements no comma separates
    return to_jsonb(value::box[]);
  elsif type = 'int2vector'::regtype then
    return to_jsonb(value::int2vector);
  elsif type = 'oidvector'::regtype then
    return to_jsonb(value::oidvector);
  elsif kind.typsubscript = 'array_subscript_handler'::regproc then
    return realtime.elements_as_json(to_jsonb(value::text[]), kind.typelem);
  elsif type >= 16384 and kind.typtype = 'b' and exists (
    select from pg_cast k where k.castsource = type and k.casttarget = 'json'::regtype
  ) then
    -- Only superusers make base types and their casts: json of the extension hstore.
    execute format('select to_jsonb(%L::%s)', value, format_type(type, null)) into value;
    return value::jsonb;
  end if;
  return to_jsonb(value);
end
$$;
comment on function realtime.value_as_json(text, oid) is
  'A value, given as text, in the form of to_jsonb(), without the casts to json that owners of types can have created';

create or replace function realtime.elements_as_json(elements jsonb, element oid) returns jsonb
language sql set search_path = pg_catalog, pg_temp as $$
  select coalesce(jsonb_agg(
    case jsonb_typeof(e.item) when 'array' then realtime.elements_as_json(e.item, element)
                              else realtime.value_as_json(e.item #>> '{}', element) end order by e.place), '[]')
  from jsonb_array_elements(elements) with ordinality e (item, place)
$$;
comment on function realtime.elements_as_json(jsonb, oid) is 'An array''s elements, given as texts in arrays of arrays, as realtime.value_as_json() shows them';

create or replace function realtime.row_text_as_json(value text, relation oid) returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  names text[];
  types oid[];
  fields text[];
begin
  select array_agg(a.attname order by a.attnum), array_agg(a.atttypid order by a.attnum) into names, types
  from pg_attribute a where a.attrelid = relation and a.attnum > 0 and not a.attisdropped;
  -- Docs: "Composite Type Input and Output Syntax". A field without quotes and characters is null.
  select array_agg(case when f.m[1] = '' then null
                        when starts_with(f.m[1], '"') then replace(replace(substr(f.m[1], 2, length(f.m[1]) - 2), '""', '"'), '\\', '\')
                        else f.m[1] end order by f.place) into fields
  from regexp_matches(substr(value, 2, length(value) - 2) || ',', '((?:"(?:[^"\\]|""|\\\\)*"|[^",]*)),', 'g') with ordinality f (m, place);
  if names is null then
    return '{}';
  elsif cardinality(fields) <> cardinality(names) then
    raise exception '% was altered after this transaction took its snapshot', relation::regclass
      using errcode = 'serialization_failure', hint = 'Run the transaction again.';
  end if;
  return (select jsonb_object_agg(c.name, realtime.value_as_json(c.field, c.type)) from unnest(names, fields, types) c (name, field, type));
end
$$;
comment on function realtime.row_text_as_json(text, oid) is 'The text of a row, or of a value of a composite type, as JSON; see realtime.value_as_json()';

create or replace function realtime.row_as_json(source record) returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  relation oid := (select t.typrelid from pg_type t where t.oid = pg_typeof(source)::oid);
begin
  -- to_jsonb() calls casts to json, and the owner of a type may make one for it: its function would run with the rights of the trigger's
  -- owner. So it is called only where all types are built in. The write holds the table's lock, so the columns that are read here do not
  -- change; but they must be read with a present snapshot (VOLATILE), which a transaction with one snapshot does not have.
  if current_setting('transaction_isolation') = 'read committed' and not exists (
    select from pg_attribute a join pg_type y on y.oid = a.atttypid
    where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
      and y.oid >= 16384 and (y.typtype <> 'd' or y.typbasetype >= 16384)
  ) then
    return to_jsonb(source);
  end if;
  return realtime.row_text_as_json(format('%s', source), relation);
end
$$;
comment on function realtime.row_as_json(record) is 'A table''s row as JSON, without calling functions that its owner could have created';

create or replace function realtime.fill_in(pattern text, record jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  filled text := '';
  rest text := pattern;
  opening integer;
  closing integer;
  column_name text;
begin
  loop
    opening := strpos(rest, '{');
    closing := strpos(rest, '}');
    if opening = 0 or closing < opening then
      return filled || rest;
    end if;
    column_name := substr(rest, opening + 1, closing - opening - 1);
    if not record ? column_name then
      raise exception 'the channel % names a column % that the table does not have', quote_literal(pattern), quote_literal(column_name)
        using errcode = 'undefined_column';
    end if;
    filled := filled || left(rest, opening - 1) || (record ->> column_name);  -- null: no channel
    rest := substr(rest, closing + 1);
  end loop;
end
$$;
comment on function realtime.fill_in(text, jsonb) is 'A channel pattern with its {column}s filled in from a row; null if one of them is null';

create or replace function realtime.send_change(
  channel text, event text, message jsonb
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  outcome text;
begin
  if channel is null or length(channel) not between 1 and 255 then
    return;
  end if;
  outcome := realtime.send(channel, event, message, null, null, null, 0);
  if outcome = 'too large' then
    outcome := realtime.send(channel, event, message || '{"record": null, "old": null, "tooLarge": true}', null, null, null, 0);
  elsif outcome = 'too deep' then
    outcome := realtime.send(channel, event, message || '{"record": null, "old": null, "tooDeep": true}', null, null, null, 0);
  end if;
end
$$;
comment on function realtime.send_change(text, text, jsonb) is 'What broadcast_changes() does with a change. Not for others to call';

create or replace function realtime.column_list(list text) returns text[]
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
begin
  if starts_with(ltrim(list), '{') then
    if list::text[] = '{}' or array_position(list::text[], null) is not null then
      raise exception 'not a list of columns: %', list using errcode = 'RT007',
        hint = 'Leave the argument out to show all columns; a column named null is written {"null"}.';
    end if;
    return list::text[];
  elsif strpos(list, '"') = 0 then
    return array(select btrim(name, E' \t\r\n') from string_to_table(list, ',') name);
  elsif list !~ '^\s*("([^"]|"")+"|[^",]+)\s*(,\s*("([^"]|"")+"|[^",]+)\s*)*$' then
    raise exception 'not a list of columns: %', list using errcode = 'RT007',
      hint = 'Like id,status or id,"a name, with a comma" or {id,"a name"}.';
  end if;
  return array(
    select case when starts_with(m[1], '"') then replace(substr(m[1], 2, length(m[1]) - 2), '""', '"') else btrim(m[1], E' \t\r\n') end
    from regexp_matches(list, '\s*("(?:[^"]|"")+"|[^",]+)\s*(?:,|$)', 'g') m);
end
$$;
comment on function realtime.column_list(text) is
  'The names in a list of columns: between commas, in double quotes where they have a comma, a quote or blanks at an end, or as an array';

create or replace function realtime.shown_columns(content jsonb, columns text[], source regclass) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  shown jsonb;
begin
  if content is null then
    return null;
  end if;
  select jsonb_object_agg(key, value) into shown from jsonb_each(content) where key = any (columns);
  if not coalesce(shown, '{}') ?& columns then
    raise exception 'the columns % of table % are to be shown, but it has no %', array_to_string(columns, ', '), source,
      (select string_agg(quote_literal(name), ', ') from unnest(columns) name where not content ? name)
      using errcode = 'undefined_column', hint = 'Make the trigger again with the columns that there are.';
  end if;
  return shown;
end
$$;
comment on function realtime.shown_columns(jsonb, text[], regclass) is 'A row''s values of these columns; raises undefined_column if it lacks one';

-- Values are written as live queries write them (engine/postgres/connections/session_settings.py), whatever the writer's session has set.
create or replace function realtime.broadcast_changes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
  set datestyle = 'ISO, MDY' set timezone = 'UTC' set intervalstyle = 'postgres' set extra_float_digits = 1 set bytea_output = 'hex'
  set lc_monetary = 'C' set xmlbinary = 'base64' set xmloption = 'content' set quote_all_identifiers = off set array_nulls = on
as $$
declare
  event text := coalesce(nullif(tg_argv[1], ''), tg_op);
  columns text[] := realtime.column_list(nullif(btrim(tg_argv[2]), ''));
  fresh jsonb;
  stale jsonb;
  message jsonb := jsonb_build_object('operation', tg_op, 'schema', tg_table_schema, 'table', tg_table_name);
  new_channel text;
  old_channel text;
begin
  if tg_nargs not between 1 and 3 then
    raise exception 'realtime.broadcast_changes(channel, event, columns) has one to three arguments, not %', tg_nargs
      using errcode = 'RT007';
  elsif tg_level = 'STATEMENT' then
    if tg_op = 'TRUNCATE' then
      perform realtime.send_change(tg_argv[0], event, message || '{"record": null, "old": null}');
    else
      raise exception 'trigger % must be FOR EACH ROW', tg_name using errcode = 'RT007';
    end if;
    return null;
  end if;
  if tg_op in ('INSERT', 'UPDATE') then
    fresh := realtime.row_as_json(new);
    new_channel := realtime.fill_in(tg_argv[0], fresh);
  end if;
  if tg_op in ('UPDATE', 'DELETE') then
    stale := realtime.row_as_json(old);
    old_channel := realtime.fill_in(tg_argv[0], stale);
  end if;
  if columns is not null then
    fresh := realtime.shown_columns(fresh, columns, tg_relid);
    stale := realtime.shown_columns(stale, columns, tg_relid);
  end if;
  message := message || jsonb_build_object('record', fresh, 'old', stale);
  perform realtime.send_change(coalesce(new_channel, old_channel), event, message);
  if old_channel <> new_channel then
    perform realtime.send_change(old_channel, event, message);  -- the row has moved: those it left should know
  end if;
  return null;
end
$$;
comment on function realtime.broadcast_changes() is
  'Trigger function. Arguments: the channel, with {column} for values of the row; the event (default: INSERT, UPDATE, DELETE); a list '
  'of columns to show (default: all; a name with a comma in double quotes). A column that the table does not have is an error. Payload: {operation, schema, table, record, old}. A row with null in a {column} is not sent; an '
  'update that changes the channel goes to both; a row beyond the size limit comes with "tooLarge": true instead of its values, one nested too deeply with "tooDeep": true; nothing '
  'is sent to a channel that is closed. FOR EACH STATEMENT only for TRUNCATE';
