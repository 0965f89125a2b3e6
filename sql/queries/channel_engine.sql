-- name: engine_replay_since
-- The messages of some channels after a position ($2, $3), in commit order, with their positions. At most $4, and one beyond $5 bytes of
-- payload at most. Per channel from the index of its commits to the messages of each; the inner order is what keeps the planner to that.
select p.position::text, p.seq, p.channel, p.event, p.payload::text, p.sender, p.connection_id, p.id, p.audience, p.priority, p.inserted_at, p.xid, p.routed_from
from (
  select p.*, sum(octet_length(p.payload::text)) over (
           order by p.position, p.seq rows between unbounded preceding and 1 preceding) as before
  from realtime.channel_rules($1::text[]) r
  cross join lateral (
    select c.position, m.*
    from realtime.commits c
    cross join lateral (
      select * from realtime.messages m
      where m.channel = c.channel and m.xid = c.xid and m.inserted_at between c.first_at and c.last_at
      order by m.seq
    ) m
    where c.channel = r.name and c.position >= $2::pg_lsn and (c.position > $2::pg_lsn or m.seq > $3::bigint)
      and (r.ttl is null or m.inserted_at > now() - r.ttl)
    order by c.position, m.seq
    limit $4::int
  ) p
  order by p.position, p.seq
  limit $4::int
) p
where p.before is null or p.before <= $5::bigint
order by p.position, p.seq

-- name: engine_replay_last
-- The last $2 messages of some channels up to position $3, the latest first, with their positions; not more than the channel keeps, and
-- one beyond $4 bytes of payload at most.
select p.position::text, p.seq, p.channel, p.event, p.payload::text, p.sender, p.connection_id, p.id, p.audience, p.priority, p.inserted_at, p.xid, p.routed_from
from (
  select p.*, sum(octet_length(p.payload::text)) over (
           order by p.position desc, p.seq desc rows between unbounded preceding and 1 preceding) as before
  from realtime.channel_rules($1::text[]) r
  cross join lateral (
    select c.position, m.*
    from realtime.commits c
    cross join lateral (
      select * from realtime.messages m
      where m.channel = c.channel and m.xid = c.xid and m.inserted_at between c.first_at and c.last_at
      order by m.seq desc
    ) m
    where c.channel = r.name and c.position <= $3::pg_lsn and (r.ttl is null or m.inserted_at > now() - r.ttl)
    order by c.position desc, m.seq desc
    limit least($2::int, r.max_messages)
  ) p
  order by p.position desc, p.seq desc
  limit $2::int
) p
where p.before is null or p.before <= $4::bigint
order by p.position desc, p.seq desc

-- name: engine_replay_check
-- The state of a position ($2) of some channels: up to where messages have been removed or are older than their ttl, whether a transaction
-- committed there, how far the WAL is flushed, and the epoch of the database's history.
select (select g.position::text || '/' || g.seq
        from (
          select e.position, e.seq from realtime.expired e where e.channel = any ($1::text[] || '{""}'::text[])
          union all
          select o.position, o.seq
          from realtime.channel_rules($1::text[]) r
          cross join lateral (
            select c.position, m.seq
            from realtime.commits c
            join realtime.messages m on m.channel = c.channel and m.xid = c.xid and m.inserted_at between c.first_at and c.last_at
            where c.channel = r.name and c.position >= $2::pg_lsn and c.first_at <= now() - r.ttl and m.inserted_at <= now() - r.ttl
            order by c.position desc, m.seq desc limit 1
          ) o
        ) g order by g.position desc, g.seq desc limit 1) as removed,
       exists (select from realtime.commits c where c.channel = any ($1::text[]) and c.position = $2::pg_lsn) as known,
       pg_current_wal_flush_lsn()::text as flushed,
       coalesce(realtime.epoch(), '') as epoch

-- name: engine_record_commits
-- Where transactions with messages committed. Every node writes it; the first wins. Nothing is written into a database whose history is not that
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
-- The same, and in the same transaction copies of messages for the channels they are routed to, made by the first node. For messages that
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
), gone as (
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
-- clients: they will hear from it what the stream says.
select distinct n.id from realtime.nodes n
join realtime.slots o on o.node = n.id
join pg_replication_slots s on s.slot_name = o.name and s.database = current_database()
where n.id <> %(node)s and n.lease_expires_at > clock_timestamp() and s.confirmed_flush_lsn < %(position)s::pg_lsn
  and (s.active or exists (select from realtime.connections c where c.node_id = n.id and c.dropped_at is null))

-- name: engine_publish
-- Many messages in one commit, in their order. An id that a client gave is claimed first: the second publisher of an id stores nothing. Returns what is not stored
-- under its channel and id. fresh: not because of the id, so a trigger left it out or changed it; elsewhere: how many messages this commit stored
-- under another channel or id. whole: a statement in which a trigger skips a message fails (SQLSTATE RTX01), because the id of that is then
-- claimed and has to be released in the same transaction (engine_release_ids).
with input as materialized (
  select * from unnest(%(channels)s::text[], %(events)s::text[], %(payloads)s::text[], %(senders)s::text[], %(connections)s::text[],
                       %(ids)s::text[], %(claims)s::bool[], %(priorities)s::int[])
           with ordinality as i (channel, event, payload, sender, connection_id, id, claim, priority, n)
), claimed as (
  insert into realtime.message_ids (channel, id)
  select channel, id from input where claim order by channel, id
  on conflict do nothing
  returning channel, id
), stored as (
  insert into realtime.messages (channel, event, payload, sender, connection_id, id, priority)
  select i.channel, i.event, i.payload::jsonb, i.sender, i.connection_id, i.id, i.priority
  from input i
  where not i.claim or exists (select from claimed c where c.channel = i.channel and c.id = i.id)
  order by i.n
  returning channel, id
), missing as (
  select i.channel, i.id, not i.claim or exists (select from claimed c where c.channel = i.channel and c.id = i.id) as fresh
  from input i
  where not exists (select from stored s where s.channel = i.channel and s.id = i.id)
), counted as (
  select (select count(*) from missing m where m.fresh) as fresh,
         (select count(*) from stored s where not exists (select from input i where i.channel = s.channel and i.id = s.id)) as elsewhere
)
select m.channel, m.id, m.fresh, c.elsewhere, case when %(whole)s::bool and c.fresh > c.elsewhere then realtime.refuse_left_out() end as refused
from missing m, counted c

-- name: engine_release_ids
-- Ids that were claimed, in this transaction, for messages that are not stored after all.
delete from realtime.message_ids i
using unnest(%(channels)s::text[], %(ids)s::text[]) as w (channel, id)
where i.channel = w.channel and i.id = w.id and not exists (select from realtime.messages m where m.channel = i.channel and m.xid = i.xid and m.id = i.id)

-- name: engine_emit
-- Messages without history: in the stream and nowhere else. Only we know the key. As bytes in UTF-8: see realtime.emit().
select case when octet_length((i.note::jsonb -> 'payload')::text) > s.max_payload
            then realtime.refuse_size(octet_length((i.note::jsonb -> 'payload')::text), s.max_payload)
            else pg_logical_emit_message(true, 'realtime.message',
                                         convert_to((i.note::jsonb || jsonb_build_object('key', s.stream_key))::text, 'UTF8')) end
from unnest(%(notes)s::text[]) with ordinality as i (note, n), realtime.settings s
order by n

-- name: engine_outcome
-- The messages that are stored under these ids, with their positions as far as they are known. Without a claim of the id: those inserted within that
-- many seconds.
select i.channel, i.id, m.xid::text as xid, m.seq, c.position::text as position
from (
  select w.channel, w.id, w.age, k.xid
  from unnest(%(channels)s::text[], %(ids)s::text[], %(ages)s::int[]) as w (channel, id, age)
  left join realtime.message_ids k on k.channel = w.channel and k.id = w.id
) i
left join lateral (
  (select m.xid, m.seq from realtime.messages m where m.channel = i.channel and m.xid = i.xid and m.id = i.id limit 1)
  union all
  (select m.xid, m.seq from realtime.messages m
   where i.xid is null and m.channel = i.channel and m.id = i.id and m.inserted_at > statement_timestamp() - make_interval(secs => i.age) limit 1)
  limit 1
) m on true
left join realtime.commits c on c.channel = i.channel and c.xid = m.xid
where i.xid is not null or m.seq is not null

-- name: engine_flushed
-- Up to where the WAL is flushed, as text.
select pg_current_wal_flush_lsn()::text as position

-- name: engine_inserted
-- Up to where the WAL is flushed, and whether that is all of it. Where the next record would begin a page, its place is behind the page's header
-- (24 bytes, at the beginning of a segment 40; src/include/access/xlog_internal.h), the flushed position before it.
select p.flushed::text as position,
       p.inserted - p.flushed <= case when mod(p.flushed - '0/0', current_setting('wal_block_size')::int) = 0 then 40 else 0 end as whole
from (select pg_current_wal_insert_lsn() as inserted, pg_current_wal_flush_lsn() as flushed) p

-- name: engine_flush
-- A position behind everything that has committed, also with synchronous_commit = off: this transaction writes behind it, and its own commit
-- is flushed, and with it all WAL before. No decoder delivers a heartbeat.
select pg_logical_emit_message(true, %(prefix)s, '')::text as position, set_config('synchronous_commit', 'local', true)

-- name: engine_at_least_local
-- What is answered is to survive a crash: a session (or one transaction) whose commits would not be flushed flushes them. Other settings of the
-- DBA stay.
select set_config('synchronous_commit', 'local', %(transaction)s) where current_setting('synchronous_commit') = 'off'

-- name: engine_backend_gone
-- Terminate a backend; returns whether it has ended.
select not exists (select from pg_stat_activity where pid = %(pid)s and backend_start = %(started)s::timestamptz
                   and (pg_terminate_backend(pid) or true)) as gone

-- name: engine_backend
-- The process and start time of a connection's backend.
select pg_backend_pid() as pid, backend_start::text as started from pg_stat_activity where pid = pg_backend_pid()

-- name: engine_settings
-- The database's settings, and its time.
select stream_key, epoch, clock_timestamp() as now from realtime.settings

-- name: engine_epoch_ended
-- Up to where positions of an earlier epoch mean the same today; no row: nowhere.
select ended::text as ended from realtime.epochs where epoch = %(epoch)s

-- name: engine_presence_rows
-- All presence, of every channel.
select channel, connection_id, user_id, metadata::text as metadata, state::text as state, joined_at::text as joined_at,
       left_at::text as left_at, typing_until::text as typing_until, updated_at::text as updated_at
from realtime.presence order by joined_at, channel, connection_id

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

-- name: engine_preferences
-- What a user does not want.
select channel, event, muted from realtime.preferences where user_id = %(user)s

-- name: engine_forget_connections
-- A node that starts has no connections: those from before it started are of an earlier run.
delete from realtime.connections where node_id = %(node)s and connected_at < %(before)s

-- name: engine_own_connections
-- Which of these connections still have a row; and since when this node has had its own, on which they hang.
select (select n.started_at::text from realtime.nodes n where n.id = %(node)s) as incarnation,
       array(select c.id from realtime.connections c where c.id = any (%(ids)s::text[])) as ids

-- name: engine_connect
-- A client is connected here.
insert into realtime.connections (id, node_id, user_id, attributes, transport, ip)
values (%(id)s, %(node)s, %(user)s, %(attributes)s::jsonb, %(transport)s, %(ip)s::inet)
on conflict (id) do nothing

-- name: engine_drop
-- A connection broke: without presence it is gone, else its presence waits for its timeout.
with gone as (
  update realtime.presence set left_at = clock_timestamp(), typing_until = null where connection_id = %(id)s and left_at is null
  returning channel
), kept as (
  update realtime.connections set dropped_at = clock_timestamp() where id = %(id)s and exists (select from gone)
)
delete from realtime.connections where id = %(id)s and not exists (select from gone)

-- name: engine_room_lock
-- The capacity of a room, if it has one; a join waits here for the one before it.
select capacity from realtime.channels where name = %(channel)s and capacity is not null for update

-- name: engine_is_limited
-- Whether a room counts its members, also one that was just created and did not come by the stream yet.
select exists (select from realtime.channels where name = %(channel)s and capacity is not null and closed_at is null) as limited

-- name: engine_join
-- Become present, if there is room; several connections of a user count once.
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

-- name: engine_impatient
-- Not to wait long for locks while holding many, in this transaction: less than any deadlock_timeout.
set local lock_timeout = '100ms'

-- name: engine_leave
-- A connection leaves a channel at once.
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
-- may have been stopped since. Says when to look again: one time for the whole statement, so that nothing falls between what has expired and what
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

-- name: engine_adopt_cluster
-- Whether the database came from another cluster; then it has been made at home here.
select realtime.adopt_cluster() as adopted

-- name: engine_make_partitions
-- Partitions for the days to come.
select realtime.make_partitions(%(days)s)

-- name: engine_close_connection
-- A client has closed its connection: its presence ends with it.
delete from realtime.connections where id = %(id)s

-- name: engine_drop_partitions
-- Drop the oldest day that has expired for every channel; 0: there is none, or a transaction that publishes is open for too long.
select realtime.drop_partitions() as dropped

-- name: engine_expire_messages
-- Remove expired messages where whole days cannot be dropped; returns the number of rows.
select realtime.expire_messages(%(most)s) as removed

-- name: begin_write
-- What a node has to write down, whatever default_transaction_read_only says.
begin read write

-- name: end_write
-- Committed with all of it, or not at all.
commit
