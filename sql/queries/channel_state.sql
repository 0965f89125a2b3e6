-- name: engine_settings
-- The settings of the database, and its clock.
select stream_key, epoch, clock_timestamp() as now from realtime.settings

-- name: engine_rooms
-- All channels with a row.
select name, metadata::text as metadata, permissions::text as permissions, capacity::text as capacity,
       case when history then 't' else 'f' end as history,
       ttl::text as ttl, max_messages::text as max_messages, presence_timeout::text as presence_timeout,
       typing_timeout::text as typing_timeout, created_by, created_at::text as created_at, updated_at::text as updated_at,
       closed_at::text as closed_at
from realtime.channels

-- name: engine_defaults
-- How channels without a row behave.
select pattern, case when dynamic then 't' else 'f' end as dynamic, case when history then 't' else 'f' end as history
from realtime.channel_defaults

-- name: engine_routes
-- The routes, as the stream writes them.
select id::text as id, from_channel, to_channel, match::text as match, case when enabled then 't' else 'f' end as enabled
from realtime.routes

-- name: engine_content_policies
-- The content policies, as the stream writes them.
select name, channel, event, schema::text as schema, sanitize::text as sanitize, filters::text as filters, spam::text as spam, case when enabled then 't' else 'f' end as enabled
from realtime.content_policies

-- name: engine_api_keys
-- The API keys, as the stream writes them.
select id::text as id, name, kind, prefix, hash, scopes::text as scopes, expires_at::text as expires_at, revoked_at::text as revoked_at,
       allowed_ips::text as allowed_ips, denied_ips::text as denied_ips
from realtime.api_keys

-- name: engine_sessions
-- The sessions of users, as the stream writes them.
select id, user_id, expires_at::text as expires_at, revoked_at::text as revoked_at from realtime.sessions

-- name: engine_preferences
-- The mute rules of users.
select user_id, channel, event, muted from realtime.preferences where user_id = any (%(users)s::text[])

-- name: engine_connection_rows
-- Every client that is connected, on any node; not those whose presence is all that is left.
select node_id, user_id, host(ip) as ip, null as dropped_at from realtime.connections where dropped_at is null

-- name: engine_presence_rows
-- All presence, of every channel.
select channel, connection_id, user_id, metadata::text as metadata, state::text as state, joined_at::text as joined_at,
       left_at::text as left_at, typing_until::text as typing_until, updated_at::text as updated_at
from realtime.presence order by joined_at, channel, connection_id

-- name: engine_kicks
-- The users that were removed from channels in the last day; at: when, in microseconds since 1970. Nodes keep their clients while nothing leads
-- the stream or they are cut off from it, for as long as that takes, and notice the hole only afterwards: the ten minutes of the
-- stream in NATS and the times of silence are no bound for it. realtime.expire_kicks() removes what is older, but nothing of it is read where that fails.
select id::text as id, channel, user_id, reason, (extract(epoch from kicked_at) * 1000000)::bigint as at
from realtime.kicks where kicked_at >= now() - interval '1 day' order by kicked_at

-- name: engine_rules
-- The rules of channels, as the stream writes them.
select channel, rules::text as rules from realtime.rules

-- name: rules_room
-- What rules read of a channel's row.
select name, metadata::text as metadata, created_by from realtime.channels where name = %(channel)s::text

-- name: rule_failures_note
-- Errors of rules, for realtime.rule_errors: of those that are rules still, and where another node has not written the same. What belongs to no
-- rule any more goes.
with former as (
  delete from realtime.rule_failures f
  where not exists (select from realtime.rules r where r.channel = f.channel and r.rules -> f.action = f.condition)
    and not exists (select from unnest(%(channels)s::text[]) n (channel) where n.channel = f.channel)
)
insert into realtime.rule_failures as f (channel, action, condition, error, failed_in)
select n.channel, n.action, to_jsonb(n.condition), n.error, n.failed_in
from unnest(%(channels)s::text[], %(actions)s::text[], %(conditions)s::text[], %(errors)s::text[], %(failed_in)s::text[])
  n (channel, action, condition, error, failed_in)
join realtime.rules r on r.channel = n.channel and r.rules -> n.action = to_jsonb(n.condition)
order by n.channel, n.action
on conflict (channel, action) do update
set condition = excluded.condition, error = excluded.error, failed_in = excluded.failed_in, failed_at = now()
where (f.condition, f.error) is distinct from (excluded.condition, excluded.error)

-- name: rule_errors
-- Rules that failed, each with its last error.
select channel, action, error, failed_in from realtime.rule_errors order by channel collate "C", action
