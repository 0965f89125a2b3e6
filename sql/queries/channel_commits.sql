-- name: engine_record_commits
-- Record where transactions with messages committed. Every node writes it; the first wins. Nothing is written into a database whose history is not that
-- of the epoch: a standby that was promoted may lack these transactions, and their positions may be those of others there.
with history as materialized (
  select coalesce(realtime.epoch() = %(epoch)s, false) as ours
), recorded as (
  insert into realtime.commits (channel, xid, position, first_at, last_at)
  select u.* from history h,
                  unnest(%(channels)s::text[], %(xids)s::text[]::xid8[], %(positions)s::pg_lsn[], %(first)s::timestamptz[], %(last)s::timestamptz[])
                    as u (channel, xid, position, first_at, last_at)
  where h.ours
  order by 1, 2
  on conflict do nothing
)
select ours from history

-- name: engine_record_and_route
-- As engine_record_commits, and in the same transaction copies of messages for the channels they are routed to, made by the first node. For messages that
-- are not stored nothing is recorded; their copies are claimed by the message's id instead. careful: a copy that fails is skipped.
with history as materialized (
  select coalesce(realtime.epoch() = %(epoch)s, false) as ours
), recorded as materialized (
  insert into realtime.commits (channel, xid, position, first_at, last_at)
  select u.* from history h,
                  unnest(%(channels)s::text[], %(xids)s::text[]::xid8[], %(positions)s::pg_lsn[], %(first)s::timestamptz[], %(last)s::timestamptz[])
                    as u (channel, xid, position, first_at, last_at)
  where h.ours
  order by 1, 2
  on conflict do nothing
  returning channel, xid
), routed as materialized (
  select case when %(careful)s::bool
              then realtime.try_send(r.target, r.event, r.payload::jsonb, r.sender, case when r.xid is null then r.id end, r.audience::jsonb,
                                     r.priority, r.id, r.connection_id, r.source)
              else realtime.send(r.target, r.event, r.payload::jsonb, r.sender, case when r.xid is null then r.id end, r.audience::jsonb,
                                 r.priority, r.id, r.connection_id, r.source) end as outcome
  from (
    select * from unnest(%(targets)s::text[], %(sources)s::text[], %(source_xids)s::text[]::xid8[], %(events)s::text[], %(payloads)s::text[],
                         %(senders)s::text[], %(connections)s::text[], %(ids)s::text[], %(audiences)s::text[], %(priorities)s::int[])
             with ordinality as r (target, source, xid, event, payload, sender, connection_id, id, audience, priority, n)
    where (select ours from history) and (xid is null or exists (select from recorded where recorded.channel = r.source and recorded.xid = r.xid))
    order by case when xid is null then target end, case when xid is null then id end, n
  ) r
)
select h.ours, (select count(outcome) from routed) as copies, (select count(*) from routed where outcome = 'refused') as refused from history h

-- name: engine_remove_refused
-- Remove messages that committed after their room was closed: they were delivered to no subscriber, and their publishers got an error. Returns whether it
-- saw all of these transactions: the stream brings a commit a moment before other statements see its rows.
with history as materialized (
  select coalesce(realtime.epoch() = %(epoch)s, false) as ours
), refused as materialized (
  select * from unnest(%(channels)s::text[], %(xids)s::text[]::xid8[], %(first)s::timestamptz[], %(last)s::timestamptz[]) as r (channel, xid, first_at, last_at)
), removed as (
  delete from realtime.messages m using refused r, history h
  where h.ours and m.channel = r.channel and m.xid = r.xid and m.inserted_at between r.first_at and r.last_at
), free as (
  delete from realtime.message_ids i using refused r, history h where h.ours and i.channel = r.channel and i.xid = r.xid
)
select h.ours, coalesce((select bool_and(pg_visible_in_snapshot(r.xid, pg_current_snapshot())) from refused r), true) as seen from history h

-- name: engine_unrecorded
-- Messages without a recorded commit, with the snapshot's place: the stream may still bring them.
select m.channel, m.xid::text as xid, min(m.inserted_at)::text as first_at, max(m.inserted_at)::text as last_at
from realtime.messages m
where not exists (select from realtime.commits c where c.channel = m.channel and c.xid = m.xid)
group by m.channel, m.xid

-- name: engine_others_behind
-- Other living nodes that have not yet confirmed everything before a position. One that has lost its stream for a moment counts as long as it has
-- clients: it will deliver to them what the stream brings.
select distinct n.id from realtime.nodes n
join realtime.slots o on o.node = n.id
join pg_replication_slots s on s.slot_name = o.name and s.database = current_database()
where n.id <> %(node)s and n.lease_expires_at > clock_timestamp() and s.confirmed_flush_lsn < %(position)s::pg_lsn
  and (s.active or exists (select from realtime.connections c where c.node_id = n.id and c.dropped_at is null))
