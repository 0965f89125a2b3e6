-- name: rest_annotate
-- Annotate the transaction of a request with its trace context.
select realtime.annotate(%(meta)s::text::jsonb)

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
-- A page of connected clients: count is how many match in all, null if that is not asked for. Behind the last client by number, text and id
-- of a page is the next one. The row without an id is there for its count.
with matching as (
  select c.id,
         (case %(sort)s::text when 'connectedAt' then extract(epoch from c.connected_at) * 1e6
                              when '-connectedAt' then -extract(epoch from c.connected_at) * 1e6
                              when 'user' then (c.user_id is null)::int else 0 end)::float8 as number,
         case %(sort)s::text when 'user' then coalesce(c.user_id, '') else '' end as text
  from realtime.connections c
  where c.dropped_at is null
    and (%(user_id)s::text is null or c.user_id = %(user_id)s::text)
    and (%(node)s::text is null or c.node_id = %(node)s::text)
    and (%(channel)s::text is null or exists (
      select from realtime.presence p where p.channel = %(channel)s::text and p.connection_id = c.id))
    and (%(search)s::text is null or starts_with(c.id, %(search)s::text) or starts_with(c.user_id, %(search)s::text)
         or starts_with(host(c.ip), %(search)s::text))
),
page as (
  select m.* from matching m
  where %(after)s::text is null or (m.number, m.text, m.id) > (%(number)s::float8, %(text)s::text, %(after)s::text)
  order by m.number, m.text, m.id limit %(limit)s::int
)
select f.count, p.number, p.text, c.id, c.node_id, c.user_id, c.attributes, c.transport, host(c.ip) as ip, c.connected_at,
       array(select o.channel from realtime.presence o where o.connection_id = c.id order by 1) as present_in
from (select case when %(count)s::boolean then (select count(*) from matching) end as count) f
left join (page p join realtime.connections c on c.id = p.id) on true
order by p.number, p.text, p.id

-- name: rest_connection
-- One connected client.
select c.id, c.node_id, c.user_id, c.attributes, c.metadata, c.transport, host(c.ip) as ip, c.connected_at, c.present_in
from realtime.connection_list c where c.id = %(connection_id)s::text

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

-- name: rest_nodes
-- The nodes, with their figures.
select n.* from realtime.stat_nodes n order by n.node

-- name: rest_move
-- An order to a node, if it runs.
select realtime.move_clients(n.id, %(share)s::float8, %(seconds)s::float8) as id
from realtime.nodes n where n.id = %(node)s and n.schema_version is not null and n.lease_expires_at > clock_timestamp()

-- name: rest_latency
-- How long each stage of deliveries took, in the order in which a message passes them.
select s.stage, s.p50_ms, s.p95_ms, s.p99_ms, s.count
from realtime.stat_latency s order by array_position('{feed,apply,encode,write,total}', s.stage)

-- name: rest_slots
-- The slots that hold WAL: those of the nodes first.
select s.slot, s.slot_type, s.plugin, s.database, s.own, s.node, s.host, s.active, s.active_pid, s.restart_lsn, s.confirmed_flush_lsn,
       s.retained_bytes, s.lag_bytes, extract(epoch from s.lag)::float8 as lag, s.wal_status, s.safe_wal_size, s.invalidation_reason,
       s.inactive_since, s.failover, s.synced
from realtime.stat_slots s order by s.own desc, s.slot

-- name: rest_active_channels
-- A page of channels. PostgreSQL evaluates of the view what orders it for all channels, and the rest for the page.
select c.channel, c.room, c.subscribers, c.members, c.capacity, c.last_message_at,
       case when %(history)s::boolean then c.messages end as messages, case when %(history)s::boolean then c.history_bytes end as history_bytes,
       (case %(sort)s::text when '-subscribers' then -c.subscribers when '-members' then -c.members
                            when '-lastMessageAt' then -coalesce(extract(epoch from c.last_message_at) * 1e6, 0) else 0 end)::float8 as number
from realtime.stat_channels c
where (%(channel)s::text is null or c.channel = %(channel)s::text)
  and (%(search)s::text is null or strpos(c.channel, %(search)s::text) > 0)
  and (%(after)s::text is null or
       ((case %(sort)s::text when '-subscribers' then -c.subscribers when '-members' then -c.members
                             when '-lastMessageAt' then -coalesce(extract(epoch from c.last_message_at) * 1e6, 0) else 0 end)::float8, c.channel)
       > (%(number)s::float8, %(after)s::text))
order by number, c.channel limit %(limit)s::int

-- name: rest_active_channel_count
-- How many channels match.
select count(*) as count from realtime.stat_channels c
where (%(channel)s::text is null or c.channel = %(channel)s::text)
  and (%(search)s::text is null or strpos(c.channel, %(search)s::text) > 0)

-- name: rest_live_queries
-- A page of live queries, each over all nodes that keep it: columns as in rest_connections.
with matching as (
  select q.query_id, min(q.collection) as collection, min(q.role) as role, min(q.strategy) as strategy, min(q.reason) as reason,
         min(q.query) as query, sum(q.subscribers)::bigint as subscribers, max(q.rows) as rows, sum(q.reads)::bigint as reads,
         sum(q.read_ms) as read_ms, max(q.cost) as cost, array_agg(q.node order by q.node) as nodes,
         (case %(sort)s::text when '-readMs' then -sum(q.read_ms) when '-subscribers' then -sum(q.subscribers) else 0 end)::float8 as number
  from realtime.stat_queries q
  where (%(query_id)s::text is null or q.query_id = %(query_id)s::text)
    and (%(search)s::text is null or q.query_id = %(search)s::text
         or strpos(lower(q.collection), lower(%(search)s::text)) > 0 or strpos(lower(q.query), lower(%(search)s::text)) > 0)
  group by q.query_id
),
page as (
  select m.* from matching m
  where %(after)s::text is null or (m.number, m.query_id) > (%(number)s::float8, %(after)s::text)
  order by m.number, m.query_id limit %(limit)s::int
)
select f.count, p.*
from (select case when %(count)s::boolean then (select count(*) from matching) end as count) f left join page p on true
order by p.number, p.query_id

-- name: rest_live_query
-- A live query, and the nodes that keep it.
select min(q.collection) as collection, min(q.strategy) as strategy, min(q.reason) as reason, min(q.query) as query,
       array_agg(q.node order by q.node) as nodes
from realtime.stat_queries q where q.query_id = %(query_id)s::text having count(*) > 0

-- name: rest_alerts
-- A page of alerts, the latest first: columns as in rest_connections. open: true: not yet cleared; false: cleared; null: both.
with matching as (
  select a.* from realtime.alerts a where %(open)s::boolean is null or (a.cleared_at is null) = %(open)s::boolean
),
page as (
  select m.* from matching m where %(after)s::bigint is null or m.id < %(after)s::bigint order by m.id desc limit %(limit)s::int
)
select f.count, p.*
from (select case when %(count)s::boolean then (select count(*) from matching) end as count) f left join page p on true
order by p.id desc

-- name: rest_alert_rules
-- The rules of alerts.
select r.name, r.measure, r.threshold, r.clear_at, extract(epoch from r.hold)::float8 as hold, r.severity, r.enabled, r.description
from realtime.alert_rules r order by r.name

-- name: rest_alert_rule_update
-- Change a rule of alerts; the fields that are there, nulls too.
select r.name, r.measure, r.threshold, r.clear_at, extract(epoch from r.hold)::float8 as hold, r.severity, r.enabled, r.description
from realtime.update_alert_rule(%(rule)s::text, %(changes)s::text::jsonb) r

-- name: rest_analytics_range
-- The whole minutes, hours or days (UTC) that have any of the time from start to end, and how many they are. points < 1: none.
with asked as (
  select %(bucket)s::text as bucket, ('1 ' || %(bucket)s::text)::interval as length, coalesce(%(end)s::timestamptz, clock_timestamp()) as until
),
whole as (
  select a.bucket, a.length,
         date_trunc(a.bucket, coalesce(%(start)s::timestamptz, a.until - case a.bucket when 'minute' then interval '59 minutes'
           when 'hour' then interval '23 hours' else interval '29 days' end), 'UTC') as from_at,
         date_trunc(a.bucket, a.until - interval '1 microsecond', 'UTC') at time zone 'UTC' + a.length as to_utc
  from asked a
)
select w.bucket, w.from_at, w.to_utc at time zone 'UTC' as to,
       ceil(extract(epoch from w.to_utc at time zone 'UTC' - w.from_at) / extract(epoch from w.length))::bigint as points
from whole w

-- name: rest_analytics_summary
-- What happened altogether.
select coalesce((select d.users from realtime.analytics_days d where d.at = date_trunc('day', clock_timestamp(), 'UTC')), 0)::bigint as active_users,
       coalesce((select h.users from realtime.analytics_hours h where h.at = date_trunc('hour', clock_timestamp(), 'UTC')), 0)::bigint
         as active_users_last_hour,
       coalesce((select m.users from realtime.analytics_minutes m
                 where m.at >= date_trunc('minute', clock_timestamp(), 'UTC') - interval '2 minutes' order by m.at desc limit 1), 0)::bigint
         as active_users_last_minute,
       coalesce(sum(l.sessions), 0)::bigint as sessions,
       sum(l.session_seconds) / nullif(sum(l.sessions_ended), 0)::float8 as session_seconds,
       coalesce(sum(l.published), 0)::bigint as messages, coalesce(sum(l.messages_in), 0)::bigint as messages_in,
       coalesce(sum(l.messages_out), 0)::bigint as messages_out, coalesce(max(l.connections), 0)::bigint as peak_connections,
       (array_agg(l.at order by l.connections desc, l.at))[1] as peak_at, coalesce(max(l.channels), 0)::bigint as channels
from realtime.analytics_between(%(bucket)s, %(start)s, %(end)s) l

-- name: rest_analytics_series
-- A metric of each minute, hour or day from start to end.
select g.at at time zone 'UTC' as at,
       case %(metric)s::text
         when 'sessionSeconds' then l.session_seconds / nullif(l.sessions_ended, 0)
         when 'activeUsers' then coalesce(l.users, 0)
         when 'sessions' then coalesce(l.sessions, 0)
         when 'messages' then coalesce(l.published, 0)
         when 'messagesIn' then coalesce(l.messages_in, 0)
         when 'messagesOut' then coalesce(l.messages_out, 0)
         when 'channels' then coalesce(l.channels, 0)
         else coalesce(l.connections, 0)
       end::float8 as value
from generate_series(%(start)s::timestamptz at time zone 'UTC', %(end)s::timestamptz at time zone 'UTC' - interval '1 microsecond',
                     ('1 ' || %(bucket)s::text)::interval) g (at)
left join realtime.analytics_between(%(bucket)s, %(start)s, %(end)s) l on l.at = g.at at time zone 'UTC'
order by g.at

-- name: rest_analytics_channels
-- The channels with the most messages from start to end, and all others together.
with listed as (
  select c.channel, sum(c.messages)::bigint as messages, max(c.subscribers)::bigint as subscribers,
         row_number() over (order by sum(c.messages) desc, max(c.subscribers) desc, c.channel) as place
  from realtime.analytics_channels c
  where c.bucket = %(bucket)s and c.at >= %(start)s::timestamptz and c.at < %(end)s::timestamptz and c.channel is not null
  group by c.channel
),
rest as (
  select coalesce(sum(r.messages), 0)::bigint as messages from (
    select l.messages from listed l where l.place > %(limit)s
    union all
    select c.messages from realtime.analytics_channels c
    where c.bucket = %(bucket)s and c.at >= %(start)s::timestamptz and c.at < %(end)s::timestamptz and c.channel is null) r
)
select l.channel, l.messages, l.subscribers from (
  select l.channel, l.messages, l.subscribers, l.place from listed l where l.place <= %(limit)s
  union all
  select null, r.messages, null, null from rest r where r.messages > 0) l
order by l.place nulls last

-- name: rest_analytics_countries
-- Sessions by country from start to end.
select nullif(c.country, 'ZZ') as country, sum(c.sessions)::bigint as sessions
from realtime.analytics_countries c
where c.bucket = %(bucket)s and c.at >= %(start)s::timestamptz and c.at < %(end)s::timestamptz
group by c.country order by sessions desc, c.country limit %(limit)s

-- name: rest_analytics_peaks
-- Hours of the week.
select p.weekday, p.hour,
       case %(metric)s::text when 'activeUsers' then p.users when 'messages' then p.published when 'messagesOut' then p.messages_out
            else p.connections end as value
from realtime.analytics_peaks p order by p.weekday, p.hour
