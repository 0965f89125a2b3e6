-- name: engine_forget_connections
-- Delete the connections of an earlier run of this node.
delete from realtime.connections where node_id = %(node)s and connected_at < %(before)s

-- name: engine_own_connections
-- Which of these connections still have a row, and since when the node's row exists, to which they refer.
select (select n.started_at::text from realtime.nodes n where n.id = %(node)s) as incarnation,
       array(select c.id from realtime.connections c where c.id = any (%(ids)s::text[])) as ids

-- name: engine_connect
-- Insert the row of a client that has connected to this node.
insert into realtime.connections (id, node_id, user_id, attributes, transport, ip)
values (%(id)s, %(node)s, %(user)s, %(attributes)s::jsonb, %(transport)s, %(ip)s::inet)
on conflict (id) do nothing

-- name: engine_connect_all
-- As engine_connect, for several.
insert into realtime.connections (id, node_id, user_id, attributes, transport, ip)
select c.id, %(node)s, c.user_id, c.attributes::jsonb, c.transport, c.ip::inet
from unnest(%(ids)s::text[], %(users)s::text[], %(attributes)s::text[], %(transports)s::text[], %(ips)s::text[])
  as c (id, user_id, attributes, transport, ip)
on conflict (id) do nothing

-- name: engine_drop
-- A connection broke: delete it if it has no presence, else its presence waits for its timeout.
with left_members as (
  update realtime.presence set left_at = clock_timestamp(), typing_until = null where connection_id = %(id)s and left_at is null
  returning channel
), kept as (
  update realtime.connections set dropped_at = clock_timestamp() where id = %(id)s and exists (select from left_members)
)
delete from realtime.connections where id = %(id)s and not exists (select from left_members)

-- name: engine_drop_all
-- As engine_drop, for several.
with left_members as (
  update realtime.presence set left_at = clock_timestamp(), typing_until = null where connection_id = any (%(ids)s::text[]) and left_at is null
  returning connection_id
), kept as (
  update realtime.connections set dropped_at = clock_timestamp()
  where id = any (%(ids)s::text[]) and id in (select m.connection_id from left_members m)
)
delete from realtime.connections where id = any (%(ids)s::text[]) and not exists (select from left_members m where m.connection_id = id)

-- name: engine_close_connection
-- A client has closed its connection: delete it, and its presence with it.
delete from realtime.connections where id = %(id)s

-- name: engine_close_connections
-- As engine_close_connection, for several.
delete from realtime.connections where id = any (%(ids)s::text[])

-- name: engine_room_lock
-- The capacity of a room, if it has one. The row is locked: joins of one room run one after the other.
select capacity from realtime.channels where name = %(channel)s and capacity is not null for update

-- name: engine_is_limited
-- Whether a room has a capacity; also true for a room whose creation has not passed in the stream.
select exists (select from realtime.channels where name = %(channel)s and capacity is not null and closed_at is null) as limited

-- name: engine_are_limited
-- As engine_is_limited, for several.
select c.channel,
       exists (select from realtime.channels r where r.name = c.channel and r.capacity is not null and r.closed_at is null) as limited
from unnest(%(channels)s::text[]) as c (channel)

-- name: engine_join
-- Insert or update a member, unless the room is full; several connections of a user count once. No row: it is full.
insert into realtime.presence as p (channel, connection_id, user_id, metadata, state, typing_until)
select %(channel)s, %(connection)s, %(user)s, %(metadata)s::jsonb, %(state)s::jsonb,
       case when %(typing)s::bool then clock_timestamp() + (select r.typing_timeout from realtime.channel_rules(array[%(channel)s]) r) end
where %(capacity)s::int is null
   or exists (select from realtime.presence o where o.channel = %(channel)s and o.user_id = %(user)s)
   or (select count(distinct o.user_id) from realtime.presence o where o.channel = %(channel)s) < %(capacity)s::int
on conflict (channel, connection_id) do update
  set metadata = excluded.metadata, state = excluded.state, left_at = null, typing_until = excluded.typing_until,
      updated_at = clock_timestamp()
returning 1

-- name: engine_join_all
-- As engine_join, for several whose rooms have no capacity; each of another connection or channel.
insert into realtime.presence as p (channel, connection_id, user_id, metadata, state, typing_until)
select j.channel, j.connection, j.member, j.metadata::jsonb, j.state::jsonb,
       case when j.typing then clock_timestamp() + (select r.typing_timeout from realtime.channel_rules(array[j.channel]) r) end
from unnest(%(channels)s::text[], %(connections)s::text[], %(users)s::text[], %(metadata)s::text[], %(states)s::text[], %(typing)s::bool[])
  as j (channel, connection, member, metadata, state, typing)
on conflict (channel, connection_id) do update
  set metadata = excluded.metadata, state = excluded.state, left_at = null, typing_until = excluded.typing_until,
      updated_at = clock_timestamp()

-- name: engine_limit_lock_wait
-- Limit the wait for a lock in this transaction, which holds many: less than any deadlock_timeout.
set local lock_timeout = '100ms'

-- name: engine_leave
-- Delete a member at once.
delete from realtime.presence where channel = %(channel)s and connection_id = %(connection)s

-- name: engine_set_presence
-- Change a member's visible state: the given keys replace existing ones, if the result is within the limit of bytes. Returns whether it was
-- changed, and when; no row: there is no such member, or its connection has broken since.
with fresh as (
  select p.channel, p.connection_id, p.metadata || %(metadata)s::jsonb as metadata,
         case when %(typing)s::bool is false then p.state - 'typing' else p.state end || %(state)s::jsonb as state
  from realtime.presence p where p.channel = %(channel)s and p.connection_id = %(connection)s and p.left_at is null for update
), changed as (
  update realtime.presence p
  set metadata = f.metadata, state = f.state, updated_at = clock_timestamp(),
      typing_until = case when %(typing)s::bool then clock_timestamp() + (select r.typing_timeout from realtime.channel_rules(array[p.channel]) r)
                          when %(typing)s::bool is false then null else p.typing_until end
  from fresh f
  where p.channel = f.channel and p.connection_id = f.connection_id
    and octet_length(f.metadata::text) + octet_length(f.state::text) <= %(most)s::int
  returning p.updated_at
)
select (select c.updated_at::text from changed c) as changed from fresh

-- name: engine_sweep
-- Clear typing that has timed out and remove members of this node whose timeout has run out; a moment later also those of other nodes, which
-- may have been stopped since. Returns when to look again: one time for the whole statement, so that nothing falls between what has expired and what
-- is due.
with over as (
  update realtime.presence p
  set typing_until = null,
      state = case when p.state ->> 'status' = 'typing' then p.state || '{"status": "online"}' else p.state end - 'typing'
  from realtime.connections c
  where c.id = p.connection_id and c.node_id = %(node)s and p.left_at is null and p.typing_until <= statement_timestamp()
), timeouts as (
  select p.channel, p.connection_id,
         p.left_at + (select r.presence_timeout from realtime.channel_rules(array[p.channel]) r)
           + make_interval(secs => case when c.node_id = %(node)s then 0 else %(grace)s end) as until
  from realtime.presence p join realtime.connections c on c.id = p.connection_id
  where p.left_at is not null
), left_for_good as (
  delete from realtime.presence p using timeouts t
  where p.channel = t.channel and p.connection_id = t.connection_id and p.left_at is not null and t.until <= statement_timestamp()
)
select extract(epoch from least(
  (select min(t.until) from timeouts t where t.until > statement_timestamp()),
  (select min(p.typing_until) from realtime.presence p join realtime.connections c on c.id = p.connection_id
   where c.node_id = %(node)s and p.left_at is null and p.typing_until > statement_timestamp())) - statement_timestamp())::float8 as wait

-- name: engine_sweep_connections
-- Broken connections whose presence is gone; those of other nodes too, see engine_sweep.
delete from realtime.connections c
where c.dropped_at is not null and (c.node_id = %(node)s or c.dropped_at < now() - make_interval(secs => %(grace)s))
  and not exists (select from realtime.presence p where p.connection_id = c.id)
