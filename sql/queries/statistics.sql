-- name: statistics_node
-- The figures of a node, if its row is there; made: there were none, so its channels and queries are to be written whole.
insert into realtime.node_stats as s (node_id, version, state, reason, position, channels, subscriptions, queries, query_subscriptions, messages, reads,
                                   stages)
select n.id, %(version)s, %(state)s, %(reason)s, %(position)s::pg_lsn, %(channels)s, %(subscriptions)s, %(queries)s, %(query_subscriptions)s,
       %(messages)s, %(reads)s, %(stages)s::text::jsonb
from realtime.nodes n where n.id = %(node)s
on conflict (node_id) do update
  set version = excluded.version, state = excluded.state, reason = excluded.reason, position = excluded.position, channels = excluded.channels,
      subscriptions = excluded.subscriptions, queries = excluded.queries, query_subscriptions = excluded.query_subscriptions,
      messages = excluded.messages, reads = excluded.reads, stages = excluded.stages, collected_at = clock_timestamp()
returning xmax = 0 as made

-- name: statistics_remove
-- What an earlier process of the node, or a write that failed, has left.
delete from realtime.node_stats where node_id = %(node)s

-- name: statistics_channels
-- Channels whose subscribers have changed, and those that have none any more.
with lost as (
  delete from realtime.node_channels c where c.node_id = %(node)s and c.channel = any (%(lost)s::text[])
)
insert into realtime.node_channels as c (node_id, channel, subscribers)
select %(node)s, w.channel, w.subscribers
from unnest(%(channels)s::text[], %(subscribers)s::int[]) w (channel, subscribers)
on conflict (channel, node_id) do update set subscribers = excluded.subscribers

-- name: statistics_queries
-- Live queries whose figures have changed, and those that are not kept any more.
with lost as (
  delete from realtime.node_queries q where q.node_id = %(node)s and q.query_id = any (%(lost)s::text[])
)
insert into realtime.node_queries as q (node_id, query_id, collection, role, strategy, reason, query, subscribers, result_rows, reads, read_ms, cost)
select %(node)s, w.*
from unnest(%(query_id)s::text[], %(collection)s::text[], %(role)s::text[], %(strategy)s::text[], %(reason)s::text[], %(query)s::text[],
            %(subscribers)s::int[], %(result_rows)s::int[], %(reads)s::bigint[], %(read_ms)s::float8[], %(cost)s::float8[]) w
on conflict (node_id, query_id) do update
  set strategy = excluded.strategy, reason = excluded.reason, subscribers = excluded.subscribers, result_rows = excluded.result_rows,
      reads = excluded.reads, read_ms = excluded.read_ms, cost = excluded.cost

-- name: list_connections
-- Connected clients, the longest connected first; null: whatever it is. channel: those whose presence is shown there.
select c.id, c.user_id as "user", c.node_id as node, c.transport, host(c.ip) as ip, c.connected_at, c.present_in as channels
from realtime.connection_list c
where (%(user)s::text is null or c.user_id = %(user)s::text)
  and (%(node)s::text is null or c.node_id = %(node)s::text)
  and (%(channel)s::text is null or %(channel)s::text = any (c.present_in))
order by c.connected_at, c.id
limit %(limit)s::int

-- name: list_channels
-- Channels whose name fits a pattern of LIKE, those with the most subscribers first.
select c.channel, c.room, c.subscribers, c.members, c.capacity, c.last_message_at
from realtime.stat_channels c
where c.channel like %(pattern)s::text
order by c.subscribers desc, c.channel
limit %(limit)s::int

-- name: top_nodes
-- Each node with its figures.
select n.node, n.state, n.connections, n.channels, n.subscriptions, n.queries, n.messages, n.reads, n.reason
from realtime.stat_nodes n order by n.node

-- name: top_slots
-- The slots of nodes, and others that hold WAL.
select s.slot, s.node, s.active, s.wal_status, s.lag_bytes, s.retained_bytes, s.safe_wal_size
from realtime.stat_slots s where s.own or not coalesce(s.active, false)
order by s.own desc, s.retained_bytes desc nulls last limit %(rows)s::int

-- name: top_channels
-- Channels with the most subscribers.
select c.channel, c.subscribers, c.members, c.last_message_at
from realtime.stat_channels c order by c.subscribers desc, c.members desc, c.channel limit %(rows)s::int

-- name: top_queries
-- Live queries that the database spent the most time on, over all nodes.
select q.collection, q.strategy, sum(q.subscribers)::bigint as subscribers, max(q.rows) as rows, sum(q.reads)::bigint as reads,
       round(sum(q.read_ms))::bigint as ms, min(q.query) as query
from realtime.stat_queries q
group by q.query_id, q.collection, q.strategy order by ms desc, subscribers desc, q.query_id limit %(rows)s::int

-- name: alerts_judge
select realtime.judge_alerts(%(node)s, %(measures)s::text[], %(values)s::float8[]) as changed

-- name: alerts_announce
select realtime.announce_alerts()

-- name: alerts_claim
-- One notice that is due. The time of its next attempt is set before it is sent, so that no other node sends it meanwhile, and another one
-- does if this node does not come back: five seconds, twice as many each time, a quarter of an hour at most. After a day it is given up.
-- That an alert was cleared waits until it is delivered, or given up, that it was raised.
-- source: of which database. Its id differs from that of any other database, a copy in the same cluster or in another among them, and from
-- its own before it was restored or promoted: ids of alerts may come again there.
update realtime.alert_notices n
set attempts = n.attempts + 1,
    next_attempt_at = clock_timestamp() + least(interval '15 minutes', interval '5 seconds' * 2 ^ least(n.attempts, 10)) * (0.75 + random() / 2)
from (
  select d.alert_id, d.event from realtime.alert_notices d join realtime.alerts o on o.id = d.alert_id
  where d.delivered_at is null and d.next_attempt_at <= clock_timestamp()
    and (case d.event when 'alert.raised' then o.raised_at else o.cleared_at end) > clock_timestamp() - interval '1 day'
    and not (d.event = 'alert.cleared' and o.raised_at > clock_timestamp() - interval '1 day' and exists (
      select from realtime.alert_notices r where r.alert_id = d.alert_id and r.event = 'alert.raised' and r.delivered_at is null))
  order by d.next_attempt_at limit 1 for update of d skip locked
) due
join realtime.alerts a on a.id = due.alert_id
where n.alert_id = due.alert_id and n.event = due.event
returning n.alert_id, n.event, n.attempts, to_jsonb(a) as alert, (
  select jsonb_build_object('id', s.epoch || '_' || d.oid, 'database', d.datname, 'system_identifier', s.system_identifier)
  from realtime.settings s, pg_catalog.pg_database d where d.datname = current_database()) as source

-- name: alerts_delivered
update realtime.alert_notices set delivered_at = clock_timestamp(), error = null where alert_id = %(alert)s and event = %(event)s

-- name: alerts_not_delivered
update realtime.alert_notices set error = left(%(error)s, 1000) where alert_id = %(alert)s and event = %(event)s

-- name: usage_begin
-- What a node needs to count: the time of the database, and up to which commit its messages are counted already. A position that this server has
-- not reached is of another one, from which the database was restored.
select extract(epoch from clock_timestamp())::float8 as now,
       (select (case when n.position <= pg_current_wal_lsn() then n.position end - '0/0'::pg_lsn)::bigint
        from realtime.usage_nodes n where n.node_id = %(node)s) as position

-- name: usage_salts
-- With what users are hashed today and tomorrow (days since 1970).
select s.day - date '1970-01-01' as day, s.salt from realtime.daily_salts() s

-- name: usage_add
-- Add what a node has counted; the time of the database, by which minutes are those of all nodes.
select realtime.add_usage(%(node)s, %(run)s, %(batch)s, %(position)s::pg_lsn, %(minutes)s::text::jsonb) as added,
       extract(epoch from clock_timestamp())::float8 as now

-- name: usage_roll_up
select realtime.roll_up_usage(make_interval(secs => %(every)s), make_interval(secs => %(minutes)s), make_interval(secs => %(hours)s),
                              make_interval(secs => %(days)s), %(channels)s) as done

-- name: balance_look
-- How full this node is; the other nodes of its region. One whose figures are old is not ready until its lease has ended.
with mine as (
  insert into realtime.node_loads as l (node_id, url, region, capacity, connections, ready, cpu, loop_lag, feed_lag)
  select n.id, %(url)s, %(region)s, %(capacity)s, %(connections)s, %(ready)s, %(cpu)s, %(loop_lag)s, %(feed_lag)s
  from realtime.nodes n where n.id = %(node)s
  on conflict (node_id) do update
    set url = excluded.url, region = excluded.region, capacity = excluded.capacity, connections = excluded.connections, ready = excluded.ready,
        cpu = excluded.cpu, loop_lag = excluded.loop_lag, feed_lag = excluded.feed_lag, collected_at = clock_timestamp()
)
select l.node_id as node, l.connections, l.capacity::float8 as capacity, l.ready and l.collected_at > clock_timestamp() - interval '10 seconds' as ready
from realtime.node_loads l join realtime.nodes n on n.id = l.node_id
where l.node_id <> %(node)s and l.region is not distinct from %(region)s::text and n.schema_version is not null
  and n.lease_expires_at > clock_timestamp()
order by l.node_id

-- name: balance_orders
-- The orders for this node that it has not taken; those of long ago are left.
update realtime.moves m set begun_at = clock_timestamp()
where m.node_id = %(node)s and m.begun_at is null and m.requested_at > clock_timestamp() - interval '1 minute'
returning m.id, m.share, m.seconds

-- name: balance_done
update realtime.moves set asked = %(asked)s where id = %(id)s

-- name: balance_moved
-- Clients that this node asked by itself. What is older than a day goes.
with old as (
  delete from realtime.moves m where m.node_id = %(node)s and m.requested_at < clock_timestamp() - interval '1 day'
)
insert into realtime.moves (node_id, seconds, automatic, begun_at, asked) values (%(node)s, %(seconds)s, true, clock_timestamp(), %(asked)s)

