-- The state of the service in the manner of pg_stat_*: nodes, slots, channels, live queries.

create or replace view realtime.stat_nodes as
select n.id as node, n.host, n.pid, s.version, n.schema_version, n.started_at, n.renewed_at, n.lease_expires_at,
       case when n.schema_version is null then 'stopped' when n.lease_expires_at < clock_timestamp() then 'expired'
            when s.state is null and exists (select from realtime.nodes w where starts_with(w.id, n.id || '_')) then 'relay'
            -- Of a cluster: its slot is read for nodes that have none, nor are of a machine whose relay reads it for them.
            when s.state is null and exists (select from realtime.slots o where o.node = n.id) and exists (
              select from realtime.nodes w
              where w.schema_version is not null and w.lease_expires_at >= clock_timestamp() and not exists (
                select from realtime.slots o where o.node = w.id or starts_with(w.id, o.node || '_'))) then 'relay'
            else coalesce(s.state, 'starting') end as state,
       s.reason,
       (select min(o.name) from realtime.slots o where o.node = n.id) as slot,
       s.position,
       (select count(*) from realtime.connections c where c.node_id = n.id and c.dropped_at is null) as connections,
       s.channels, s.subscriptions, s.queries, s.query_subscriptions, s.messages, s.reads, s.collected_at,
       l.url, l.region, l.capacity, l.cpu, l.loop_lag, l.feed_lag, l.ready
from realtime.nodes n
left join realtime.node_stats s on s.node_id = n.id and n.schema_version is not null and n.lease_expires_at >= clock_timestamp()
left join realtime.node_loads l on l.node_id = n.id and n.schema_version is not null and n.lease_expires_at >= clock_timestamp();
comment on view realtime.stat_nodes is 'One row per node: what it is, whether it lives, and its figures';
comment on column realtime.stat_nodes.node is 'the name of the node: that of its slot, unless it was given another';
comment on column realtime.stat_nodes.host is 'the machine it runs on, as that calls itself';
comment on column realtime.stat_nodes.pid is 'its process on that machine';
comment on column realtime.stat_nodes.version is 'the version of the service; null: it wrote no figures yet';
comment on column realtime.stat_nodes.schema_version is 'the version of sql/schema that it was made for; null: it was stopped';
comment on column realtime.stat_nodes.started_at is 'when this process registered';
comment on column realtime.stat_nodes.renewed_at is 'when it renewed its lease last';
comment on column realtime.stat_nodes.lease_expires_at is 'from when on other nodes may drop its slot, unless it renews the lease';
comment on column realtime.stat_nodes.state is
  'ok, degraded, draining (as in /health), starting (no figures yet), relay (it reads the slot for workers or a cluster, and has no clients), stopped (its slot waits for its return), or expired (it renews its lease no more)';
comment on column realtime.stat_nodes.reason is 'why it is degraded, in words';
comment on column realtime.stat_nodes.slot is 'its replication slot: see realtime.stat_slots';
comment on column realtime.stat_nodes.position is 'the commit that its lists show last';
comment on column realtime.stat_nodes.connections is 'clients connected to it';
comment on column realtime.stat_nodes.channels is 'channels with subscribers on it';
comment on column realtime.stat_nodes.subscriptions is 'subscriptions to channels on it';
comment on column realtime.stat_nodes.queries is 'live queries that it keeps';
comment on column realtime.stat_nodes.query_subscriptions is 'subscriptions to live queries on it';
comment on column realtime.stat_nodes.messages is 'messages of channels that the stream brought to it since it started';
comment on column realtime.stat_nodes.reads is 'reads for live queries since it started';
comment on column realtime.stat_nodes.collected_at is
  'when it wrote its figures last: two seconds after a change at the latest, and once a minute without one';
comment on column realtime.stat_nodes.url is 'its address: node_url, or its machine and port';
comment on column realtime.stat_nodes.region is 'where it is: node_region';
comment on column realtime.stat_nodes.capacity is 'connections that it can have; null: unlimited, or it wrote no figures yet';
comment on column realtime.stat_nodes.cpu is 'its processor time of the last two seconds, as a part of one processor';
comment on column realtime.stat_nodes.loop_lag is 'seconds by which its event loop was late, the 95th percentile of the last two seconds';
comment on column realtime.stat_nodes.feed_lag is 'seconds by which it is behind the WAL';
comment on column realtime.stat_nodes.ready is 'whether it accepts clients, as its /health/ready answers';

create or replace view realtime.stat_slots as
select coalesce(p.slot_name, o.name) as slot, p.slot_type::text as slot_type, p.plugin::text as plugin, p.database::text as database,
       o.name is not null as own, o.node, n.host, p.active, p.active_pid, p.restart_lsn, p.confirmed_flush_lsn,
       (here.lsn - p.restart_lsn)::bigint as retained_bytes,
       (here.lsn - p.confirmed_flush_lsn)::bigint as lag_bytes,
       case when p.active then coalesce(r.flush_lag, interval '0')
            else clock_timestamp() - (to_jsonb(p) ->> 'inactive_since')::timestamptz end as lag,
       case when p.slot_name is null then 'missing' else coalesce(p.wal_status, case when p.restart_lsn is null and p.slot_type = 'physical' then 'unused'
            else 'lost' end) end as wal_status,
       p.safe_wal_size,
       coalesce(to_jsonb(p) ->> 'invalidation_reason', case when (to_jsonb(p) ->> 'conflicting')::boolean then 'conflict' end) as invalidation_reason,
       (to_jsonb(p) ->> 'inactive_since')::timestamptz as inactive_since,
       (to_jsonb(p) ->> 'failover')::boolean as failover,
       (to_jsonb(p) ->> 'synced')::boolean and pg_is_in_recovery() as synced
from pg_catalog.pg_replication_slots p
full join realtime.slots o on o.name = p.slot_name and p.database = current_database()
left join realtime.nodes n on n.id = o.node
left join pg_catalog.pg_stat_replication r on r.pid = p.active_pid
cross join (select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as lsn) here
where p.slot_name is not null or not pg_is_in_recovery();  -- the slots of nodes are on the primary
comment on view realtime.stat_slots is
  'One row per replication slot of the cluster, each of which can hold WAL, and per slot that a node of this database should have';
comment on column realtime.stat_slots.slot is 'the slot, as in pg_replication_slots';
comment on column realtime.stat_slots.slot_type is 'logical or physical; null: the slot is missing';
comment on column realtime.stat_slots.plugin is 'the output plugin of a logical slot';
comment on column realtime.stat_slots.database is 'the database of a logical slot';
comment on column realtime.stat_slots.own is 'it belongs to the nodes of this database; false: it is another product''s, another database''s or a standby''s';
comment on column realtime.stat_slots.node is 'the node whose slot it is; null for an own slot: its node is gone, and another one drops the slot';
comment on column realtime.stat_slots.host is 'the machine of the node';
comment on column realtime.stat_slots.active is 'a process streams from it now';
comment on column realtime.stat_slots.active_pid is 'the process of PostgreSQL that does: see pg_stat_replication';
comment on column realtime.stat_slots.restart_lsn is 'the oldest WAL that the slot keeps';
comment on column realtime.stat_slots.confirmed_flush_lsn is 'up to where its consumer has confirmed';
comment on column realtime.stat_slots.retained_bytes is 'WAL that it keeps from being removed, in bytes';
comment on column realtime.stat_slots.lag_bytes is 'WAL written since the confirmed position, in bytes';
comment on column realtime.stat_slots.lag is
  'how long the last confirmation of an active slot took (zero where pg_stat_replication does not show it to this role), since when another one is inactive (PostgreSQL 17 and later)';
comment on column realtime.stat_slots.wal_status is
  'reserved, extended, unreserved or lost as in pg_replication_slots; unused: it keeps nothing yet; missing: a node should have it, and it does not exist';
comment on column realtime.stat_slots.safe_wal_size is
  'bytes of WAL that can be written before it is in danger of being lost; null: max_slot_wal_keep_size is unlimited, or it is lost';
comment on column realtime.stat_slots.invalidation_reason is
  'why it can be read no more (PostgreSQL 17 and later; conflict in 16): wal_removed, rows_removed, wal_level_insufficient, idle_timeout';
comment on column realtime.stat_slots.inactive_since is 'since when nothing streams from it (PostgreSQL 17 and later)';
comment on column realtime.stat_slots.failover is 'it is copied to standbys (PostgreSQL 17 and later)';
comment on column realtime.stat_slots.synced is 'it is such a copy, on a standby (PostgreSQL 17 and later)';

-- The columns of the history are subqueries by themselves: PostgreSQL evaluates only those that are asked for.
create or replace view realtime.stat_channels as
select c.channel,
       exists (select from realtime.channels r where r.name = c.channel) as room,
       (select coalesce(sum(s.subscribers), 0)::bigint from realtime.node_channels s join realtime.nodes n on n.id = s.node_id
        where s.channel = c.channel and n.lease_expires_at >= clock_timestamp() and n.schema_version is not null) as subscribers,
       (select count(distinct p.user_id) from realtime.presence p where p.channel = c.channel) as members,
       (select r.capacity from realtime.channels r where r.name = c.channel) as capacity,
       (select count(*) from realtime.messages m where m.channel = c.channel) as messages,
       (select k.last_at from realtime.commits k where k.channel = c.channel order by k.position desc limit 1) as last_message_at,
       (select coalesce(sum(pg_column_size(m.payload)), 0)::bigint from realtime.messages m where m.channel = c.channel) as history_bytes
from (
  select r.name as channel from realtime.channels r
  union
  select p.channel from realtime.presence p
  union
  select s.channel from realtime.node_channels s join realtime.nodes n on n.id = s.node_id
  where n.lease_expires_at >= clock_timestamp() and n.schema_version is not null
  union
  -- Each channel once, by a look into the index per channel and not per transaction.
  select k.channel from (
    with recursive known (channel) as (
      (select k.channel from realtime.commits k order by k.channel limit 1)
      union all
      select (select k.channel from realtime.commits k where k.channel > known.channel order by k.channel limit 1)
      from known where known.channel is not null
    )
    select known.channel from known where known.channel is not null
  ) k
) c;
comment on view realtime.stat_channels is 'One row per channel: the rooms, and channels with members, subscribers or stored messages';
comment on column realtime.stat_channels.channel is 'its name';
comment on column realtime.stat_channels.room is 'it has a row in realtime.channels';
comment on column realtime.stat_channels.subscribers is
  'subscriptions of connections, over all running nodes; a node counts the 2,000 channels with the most of them';
comment on column realtime.stat_channels.members is 'users present, each once';
comment on column realtime.stat_channels.capacity is 'how many users may be present; null: any number';
comment on column realtime.stat_channels.messages is 'stored messages. Counts them, so ask for it by channel where histories are long';
comment on column realtime.stat_channels.last_message_at is 'when the last message with history was published';
comment on column realtime.stat_channels.history_bytes is 'size of the payloads of stored messages, as stored. Reads them, as messages does';

create or replace view realtime.stat_queries as
select q.node_id as node, q.query_id, q.collection, q.role, q.strategy, q.reason, q.query, q.subscribers, q.result_rows as rows, q.reads, q.read_ms, q.cost
from realtime.node_queries q join realtime.nodes n on n.id = q.node_id
where n.lease_expires_at >= clock_timestamp() and n.schema_version is not null;
comment on view realtime.stat_queries is
  'One row per live query and node: the 2,000 of each node that took the most time to read, then those with the most subscribers';
comment on column realtime.stat_queries.node is 'the node that keeps it';
comment on column realtime.stat_queries.query_id is
  'the same for the same query on other nodes; it differs for subscribers to whom policies show other rows';
comment on column realtime.stat_queries.collection is 'the collection that was subscribed to';
comment on column realtime.stat_queries.role is 'the role of its subscribers';
comment on column realtime.stat_queries.strategy is 'incremental, or re-read';
comment on column realtime.stat_queries.reason is 'why it is re-read';
comment on column realtime.stat_queries.query is 'the query as the client sent it, with its values: the first 1,000 characters of its JSON';
comment on column realtime.stat_queries.subscribers is 'subscriptions on this node; 0: it is kept for a moment in case one returns';
comment on column realtime.stat_queries.rows is 'rows of its list now';
comment on column realtime.stat_queries.reads is 'how often it was read from the database since it was opened';
comment on column realtime.stat_queries.read_ms is 'how long these reads took, in milliseconds altogether; one that was read together with others counts their time';
comment on column realtime.stat_queries.cost is 'the cost of a re-read query as PostgreSQL estimates it; null: not asked for';

-- As Histogram.quantile() in engine/metrics/instruments.py: linear within a bucket, the last bound for what is beyond it.
create or replace view realtime.stat_latency as
with digests as (
  select s.stages -> 'bounds' as bounds, s.stages -> 'counts' as counts, s.collected_at
  from realtime.node_stats s join realtime.nodes n on n.id = s.node_id
  where n.schema_version is not null and n.lease_expires_at >= clock_timestamp() and s.stages is not null
),
usual as (  -- a node of another version may have other bounds, and does not count
  select d.bounds from digests d group by d.bounds order by count(*) desc, max(d.collected_at) desc limit 1
),
buckets as (
  select c.stage, b.place, sum(b.count::bigint)::bigint as count
  from digests d join usual u on u.bounds = d.bounds
  cross join lateral jsonb_each(d.counts) c (stage, counts)
  cross join lateral jsonb_array_elements_text(c.counts) with ordinality b (count, place)
  group by c.stage, b.place
),
summed as (
  select b.stage, b.count, sum(b.count) over (partition by b.stage order by b.place) as up_to, sum(b.count) over (partition by b.stage) as total,
         case when b.place > 1 then (u.bounds ->> (b.place - 2)::int)::float8 else 0 end as low, (u.bounds ->> (b.place - 1)::int)::float8 as high
  from buckets b cross join usual u
)
select k.stage, q.p50_ms, q.p95_ms, q.p99_ms, coalesce(q.count, 0)::bigint as count
from unnest('{feed,apply,encode,write,total}'::text[]) k (stage)
left join lateral (
  select max(e.total) as count, max(e.ms) filter (where e.share = 0.5) as p50_ms, max(e.ms) filter (where e.share = 0.95) as p95_ms,
         max(e.ms) filter (where e.share = 0.99) as p99_ms
  from (
    select distinct on (a.share) a.share, s.total,
           round(((case when s.high is null then s.low
                        else s.low + (s.high - s.low) * (a.share * s.total - (s.up_to - s.count))::float8 / s.count end) / 1000)::numeric, 3)::float8 as ms
    from (values (0.5), (0.95), (0.99)) a (share) cross join summed s
    where s.stage = k.stage and s.count > 0 and s.up_to >= a.share * s.total
    order by a.share, s.up_to
  ) e
) q on true;
comment on view realtime.stat_latency is
  'One row per stage of deliveries and one for all of them: how long they took in the last five minutes, over all running nodes';
comment on column realtime.stat_latency.stage is
  'feed: from the commit until a node has the transaction; apply: until it is encoded; encode; write: until the last byte is written; total';
comment on column realtime.stat_latency.p50_ms is 'half of them took at most so many milliseconds, as far as buckets of a histogram show it; null: there were none';
comment on column realtime.stat_latency.p95_ms is 'the same of 95 %';
comment on column realtime.stat_latency.p99_ms is 'the same of 99 %';
comment on column realtime.stat_latency.count is 'how many were observed';
