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
-- The last $2 messages of some channels before a position ($3, $4), the latest first, with their positions; not more than the channel keeps,
-- and one beyond $5 bytes of payload at most.
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
    where c.channel = r.name and c.position <= $3::pg_lsn and (c.position < $3::pg_lsn or m.seq < $4::bigint)
      and (r.ttl is null or m.inserted_at > now() - r.ttl)
    order by c.position desc, m.seq desc
    limit least($2::int, r.max_messages)
  ) p
  order by p.position desc, p.seq desc
  limit $2::int
) p
where p.before is null or p.before <= $5::bigint
order by p.position desc, p.seq desc

-- name: engine_replay_transaction
-- The messages of a transaction ($2) in some channels, whether or not it is recorded where it committed.
select '0/0', m.seq, m.channel, m.event, m.payload::text, m.sender, m.connection_id, m.id, m.audience, m.priority, m.inserted_at, m.xid, m.routed_from
from realtime.messages m
where m.channel = any ($1::text[]) and m.xid = $2::text::xid8 and m.inserted_at between $3::timestamptz and $4::timestamptz
order by m.seq

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

-- name: engine_epochs_ended
-- The last positions of earlier epochs that mean the same in the present one. parted: it may become this one, once all messages from before are
-- recorded (see realtime.extend_epochs()).
select epoch, ended::text as ended, coalesce(parted, ended)::text as parted from realtime.epochs

-- name: engine_extend_epochs
-- Whether messages from before the histories parted have their true positions; not exact: some get others now (see realtime.extend_epochs()).
select realtime.extend_epochs(%(exact)s)

-- name: engine_adopt_cluster
-- Adopt this cluster after a restore or a promotion; returns whether there was one (see realtime.adopt_cluster()).
select realtime.adopt_cluster() as adopted

-- name: engine_make_partitions
-- Make the partitions of the coming days.
select realtime.make_partitions(%(days)s)

-- name: engine_drop_partitions
-- Drop the oldest day that has expired for every channel; 0: there is none, or a transaction that publishes is open for too long.
select realtime.drop_partitions() as dropped

-- name: engine_expire_messages
-- Remove expired messages where whole days cannot be dropped; returns the number of rows.
select realtime.expire_messages(%(most)s) as removed

-- name: engine_expire_kicks
-- Remove notes of users that were removed from channels more than a day ago; returns the number of rows.
select realtime.expire_kicks(%(most)s) as removed
