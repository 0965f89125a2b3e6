-- The history of a channel in commit order: realtime.commits has the position of each transaction, messages their place in it.
--
-- The reads go from the end (or the beginning) of one index of realtime.commits to the messages of each transaction, so their cost is that of
-- what they return. The subquery with an order of its own is what makes that the only way to run them.
-- The planner overestimates that, and over many partitions would compile the plan, which takes seconds: so jit is off.

create or replace function realtime.history(channel text, before text default null, "limit" integer default 50)
returns table (
  "position" text, event text, payload jsonb, sender text, id text, inserted_at timestamptz, seq bigint, audience jsonb, priority smallint,
  connection_id text
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off as $$
#variable_conflict use_column
declare
  rules record;
  end_position pg_lsn := realtime.position_lsn(before);
  end_seq bigint := realtime.position_seq(before);
begin
  select r.ttl, r.max_messages into rules from realtime.channel_rules(array[history.channel]) r;
  return query
  select c."position"::text || '/' || m.seq, m.event, m.payload, m.sender, m.id, m.inserted_at, m.seq, m.audience, m.priority, m.connection_id
  from (
    select last.* from (
      select c."position", m.*
      from realtime.commits c
      cross join lateral (
        select * from realtime.messages m
        where m.channel = c.channel and m.xid = c.xid and m.inserted_at between c.first_at and c.last_at
        order by m.seq desc
      ) m
      where c.channel = history.channel and (end_position is null or c."position" <= end_position)
        and (end_position is null or c."position" < end_position or m.seq < end_seq)
        and (rules.ttl is null or m.inserted_at > now() - rules.ttl)
      order by c."position" desc, m.seq desc
      limit least(greatest("limit", 0), rules.max_messages)
    ) last
  ) m cross join lateral (select m."position") c
  order by m."position", m.seq;
end
$$;
comment on function realtime.history(text, text, integer) is
  'The last messages of a channel (those before a position, if one is given), oldest first, in commit order. Pass the first row''s '
  'position as before to go further back. A message is there as soon as a running server has seen its commit';

create or replace function realtime.position_lsn("position" text) returns pg_lsn
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
begin
  if "position" !~ '^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}(/[0-9]{1,18})?$' then
    raise exception 'not a position: %', quote_literal("position") using errcode = 'RT007', hint = 'For example 0/16B3790/42.';
  end if;
  return (split_part("position", '/', 1) || '/' || split_part("position", '/', 2))::pg_lsn;
end
$$;
comment on function realtime.position_lsn(text) is 'The commit position in 0/16B3790/42 or 0/16B3790';

create or replace function realtime.position_seq("position" text) returns bigint
language sql immutable strict set search_path = pg_catalog, pg_temp as $$
  select coalesce(nullif(split_part("position", '/', 3), '')::bigint, 9223372036854775807)
$$;
comment on function realtime.position_seq(text) is 'The place in the transaction in 0/16B3790/42; for 0/16B3790 the end of the transaction';
