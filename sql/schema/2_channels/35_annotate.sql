-- Annotations: who made the changes of a transaction, and why. And the name by which a client waits for a transaction.

create or replace function realtime.annotate(meta jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  -- The annotations of the transaction so far. A savepoint that is rolled back takes it back, as it does the message.
  merged jsonb := coalesce(nullif(current_setting('realtime.annotation', true), '')::jsonb, '{}') || meta;
  size integer := octet_length(merged::text);
begin
  if jsonb_typeof(meta) is distinct from 'object' then
    raise exception 'an annotation is a JSON object, not %', coalesce(jsonb_typeof(meta), 'null') using errcode = 'RT007',
      hint = 'realtime.annotate(''{"user": "ada", "reason": "import"}'').';
  elsif size > 8192 then
    raise exception 'the annotations of this transaction have % bytes', size using errcode = 'RT005', hint = 'At most 8192.';
  elsif realtime.is_too_deep(meta, size) then
    perform realtime.refuse_depth();
  end if;
  perform set_config('realtime.annotation', merged::text, true);
  perform realtime.emit('realtime.annotation', jsonb_build_object('meta', meta));
end
$$;
comment on function realtime.annotate(jsonb) is
  'Annotate this transaction, for instance with who makes its changes and why: an object that subscribers with the option meta get with '
  'each change and message of it. A later call adds to it; its keys replace earlier ones. At most 8192 bytes in all (RT005)';

create or replace function realtime.position() returns text
language sql volatile set search_path = pg_catalog, pg_temp as $$
  select 'xid:' || pg_current_xact_id()
$$;
comment on function realtime.position() is
  'What a client waits for with whenSeen() to have seen the changes of this transaction, and of all that have committed before this call. '
  'To be called in the transaction that writes, or after it';
