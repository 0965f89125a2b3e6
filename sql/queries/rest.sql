-- name: rest_broadcast
-- Publish; returns the message's id.
select realtime.broadcast(channel => %(channel)s::text, event => %(event)s::text, payload => %(payload)s::text::jsonb,
                          sender => %(sender)s::text, id => %(id)s::text, audience => %(audience)s::text::jsonb,
                          priority => %(priority)s::int) as id

-- name: rest_broadcast_all
-- Send to every connected client; returns the message's id.
select realtime.broadcast_all(event => %(event)s::text, payload => %(payload)s::text::jsonb, sender => %(sender)s::text,
                              audience => %(audience)s::text::jsonb, priority => %(priority)s::int) as id

-- name: rest_broadcast_users
-- Send to every connection of some users; returns the message's id.
select realtime.broadcast_users(users => %(users)s::text[], event => %(event)s::text, payload => %(payload)s::text::jsonb,
                                sender => %(sender)s::text, audience => %(audience)s::text::jsonb, priority => %(priority)s::int) as id

-- name: rest_broadcast_rooms
-- Publish to several channels; returns their number.
select realtime.broadcast_rooms(rooms => %(rooms)s::text[], event => %(event)s::text, payload => %(payload)s::text::jsonb,
                                sender => %(sender)s::text, audience => %(audience)s::text::jsonb, priority => %(priority)s::int) as channels

-- name: rest_epoch
-- The epoch that positions belong to.
select coalesce(realtime.epoch(), '') as epoch

-- name: rest_channel_create
-- Make a room. What is not among the settings is the function's default.
select c.name, c.metadata, c.permissions, c.capacity, c.history, extract(epoch from c.ttl)::float8 as ttl, c.max_messages,
       extract(epoch from c.presence_timeout)::float8 as presence_timeout,
       extract(epoch from c.typing_timeout)::float8 as typing_timeout,
       c.created_by, c.created_at, c.updated_at, c.closed_at
from jsonb_to_record(%(settings)s::text::jsonb) as s (
       metadata jsonb, permissions jsonb, capacity int, history boolean, ttl interval, max_messages int,
       presence_timeout interval, typing_timeout interval),
     realtime.create_channel(
       name => %(room)s::text, metadata => coalesce(s.metadata, '{}'), permissions => coalesce(s.permissions, '{}'),
       capacity => s.capacity, history => coalesce(s.history, true), ttl => s.ttl, max_messages => s.max_messages,
       presence_timeout => coalesce(s.presence_timeout, '10 s'), typing_timeout => coalesce(s.typing_timeout, '5 s'),
       created_by => %(created_by)s::text) c

-- name: rest_channel_update
-- Change a room; the settings that are there, nulls too.
select c.name, c.metadata, c.permissions, c.capacity, c.history, extract(epoch from c.ttl)::float8 as ttl, c.max_messages,
       extract(epoch from c.presence_timeout)::float8 as presence_timeout,
       extract(epoch from c.typing_timeout)::float8 as typing_timeout,
       c.created_by, c.created_at, c.updated_at, c.closed_at
from realtime.update_channel(%(room)s::text, %(settings)s::text::jsonb) c

-- name: rest_channel_close
-- Close a room; false if there is no open one of that name.
select realtime.close_channel(%(room)s::text) as closed

-- name: rest_channel
-- A room, open or closed.
select c.name, c.metadata, c.permissions, c.capacity, c.history, extract(epoch from c.ttl)::float8 as ttl, c.max_messages,
       extract(epoch from c.presence_timeout)::float8 as presence_timeout,
       extract(epoch from c.typing_timeout)::float8 as typing_timeout,
       c.created_by, c.created_at, c.updated_at, c.closed_at
from realtime.channel_list c where c.room and c.name = %(room)s::text

-- name: rest_channels
-- A page of rooms by name.
select c.name, c.metadata, c.permissions, c.capacity, c.history, extract(epoch from c.ttl)::float8 as ttl, c.max_messages,
       extract(epoch from c.presence_timeout)::float8 as presence_timeout,
       extract(epoch from c.typing_timeout)::float8 as typing_timeout,
       c.created_by, c.created_at, c.updated_at, c.closed_at
from realtime.channel_list c
where c.room and (%(after)s::text is null or c.name > %(after)s::text) and (c.closed_at is null or %(closed)s::boolean)
order by c.name limit %(limit)s::int

-- name: rest_messages
-- The last messages of a channel before a position, oldest first: of those found so many of the latest as have at most a number of
-- bytes of payload together, but at least one.
select h.event, h.payload as data, h.inserted_at as timestamp, h.sender, h.id, h."position", h.found
from (
  select h.*, count(*) over () as found, row_number() over latest as number, sum(octet_length(h.payload::text)) over latest as bytes
  from realtime.history(%(channel)s::text, %(before)s::text, %(limit)s::int) with ordinality h
  window latest as (order by h.ordinality desc)
) h
where h.number = 1 or h.bytes <= %(bytes)s::bigint
order by h.ordinality

-- name: rest_presence
-- The users in a channel, in the order in which they came.
select p.user_id as id, p.name, p.metadata, p.state, p.connected, p.connections, p.joined_at, p.last_seen
from realtime.presence_now p where p.channel = %(channel)s::text
order by p.joined_at, p.user_id

-- name: rest_kick
-- Remove a user from a channel, wherever it is connected.
select realtime.kick(%(channel)s::text, %(user_id)s::text, %(reason)s::text) as connections

-- name: rest_connections
-- A page of connected clients by id.
select c.id, c.node_id, c.user_id, c.attributes, c.transport, host(c.ip) as ip, c.connected_at, c.present_in
from realtime.connection_list c
where (%(user_id)s::text is null or c.user_id = %(user_id)s::text)
  and (%(after)s::text is null or c.id > %(after)s::text)
order by c.id limit %(limit)s::int

-- name: rest_disconnect
-- Disconnect one client, wherever it is.
select realtime.disconnect(connection_id => %(connection_id)s::text) as count

-- name: rest_sessions
-- A page of sessions of users by id.
select s.id, s.user_id, s.created_at, s.expires_at, s.revoked_at, s.revoked_reason, s.metadata
from realtime.sessions s
where (%(user_id)s::text is null or s.user_id = %(user_id)s::text)
  and (%(after)s::text is null or s.id > %(after)s::text)
order by s.id limit %(limit)s::int

-- name: rest_revoke_session
-- End a session; whether there is one.
select case when exists (select from realtime.sessions s where s.id = %(sid)s::text)
            then realtime.revoke_session(%(sid)s::text, %(reason)s::text) is not null else false end as known

-- name: rest_revoke_user_sessions
-- End all sessions of a user but one.
select realtime.revoke_user_sessions(%(user_id)s::text, %(reason)s::text, %(except_sid)s::text) as count

-- name: rest_disconnect_user
-- Disconnect all clients of a user.
select realtime.disconnect(user_id => %(user_id)s::text) as count
