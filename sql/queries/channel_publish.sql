-- name: begin_write
-- Begin a transaction that writes, whatever default_transaction_read_only is.
begin read write

-- name: end_write
-- Commit what begin_write began.
commit

-- name: engine_publish
-- Store messages in one commit, in their order. An id from a client is claimed first, among those of its sender: the second publisher of an id stores
-- nothing. Returns those not stored under their channel, id and sender. fresh: not because of the id, so a trigger skipped or changed it; elsewhere: how
-- many messages this commit stored otherwise. whole: a statement in which a trigger skips a message fails (SQLSTATE RTX01), because the id of that is
-- then claimed and has to be released in the same transaction (engine_release_ids). traces: null, or what the stream is to carry of the trace of a
-- message, as a JSON object; it gets the key that shows its origin. A row without a channel: the session is to be restored, because triggers of others
-- are attached to the tables, as of this statement, which has locked them before its snapshot, or because the server's configuration, read again, has
-- commits not flushed.
with input as materialized (
  select i.*, realtime.id_scope(i.sender, i.connection) as scope,
         case when i.trace is not null then
           pg_logical_emit_message(true, 'realtime.trace',
             convert_to((i.trace::jsonb || jsonb_build_object('key', (select stream_key from realtime.settings)))::text, 'UTF8'))
         end as traced
  from unnest(%(channels)s::text[], %(events)s::text[], %(payloads)s::text[], %(senders)s::text[], %(connections)s::text[],
              %(ids)s::text[], %(claims)s::bool[], %(priorities)s::int[], %(traces)s::text[])
       with ordinality as i (channel, event, payload, sender, connection, id, claim, priority, trace, n)
), claimed as (
  insert into realtime.message_ids (channel, id, scope)
  select channel, id, scope from input where claim order by channel, id, scope
  on conflict do nothing
  returning channel, id, scope
), stored as (
  insert into realtime.messages (channel, event, payload, sender, connection_id, id, priority)
  select i.channel, i.event, i.payload::jsonb, i.sender, i.connection, i.id, i.priority
  from input i
  where not i.claim or exists (select from claimed c where c.channel = i.channel and c.id = i.id and c.scope = i.scope)
  order by i.n
  returning channel, id, realtime.id_scope(sender, connection_id) as scope
), missing as (
  select i.channel, i.id, i.scope,
         not i.claim or exists (select from claimed c where c.channel = i.channel and c.id = i.id and c.scope = i.scope) as fresh
  from input i
  where not exists (select from stored s where s.channel = i.channel and s.id = i.id and s.scope = i.scope)
), counted as (
  select (select count(*) from missing m where m.fresh) as fresh,
         (select count(*) from stored s
          where not exists (select from input i where i.channel = s.channel and i.id = s.id and i.scope = s.scope)) as elsewhere
)
select m.channel, m.id, m.scope, m.fresh, c.elsewhere,
       case when %(whole)s::bool and c.fresh > c.elsewhere then realtime.refuse_skipped() end as refused
from missing m, counted c
union all
select null, null, null, null, null, null
where current_setting('synchronous_commit') = 'off' or exists (
  select from pg_trigger t join pg_proc p on p.oid = t.tgfoid
  where t.tgrelid in ('realtime.messages'::regclass, 'realtime.message_ids'::regclass) and p.pronamespace <> 'realtime'::regnamespace)

-- name: engine_release_ids
-- Delete the ids that this transaction claimed for messages that it does not store.
delete from realtime.message_ids i
using unnest(%(channels)s::text[], %(ids)s::text[], %(scopes)s::text[]) as w (channel, id, scope)
where i.channel = w.channel and i.id = w.id and i.scope = w.scope and not exists (
  select from realtime.messages m
  where m.channel = i.channel and m.xid = i.xid and m.id = i.id and realtime.id_scope(m.sender, m.connection_id) = i.scope)

-- name: engine_emit
-- Emit messages without history into the stream, with the key that shows their origin. As bytes in UTF-8: see realtime.emit(). Returns whether commits
-- are not flushed, as in engine_publish.
select current_setting('synchronous_commit') = 'off' as unflushed,
       case when octet_length((i.note::jsonb -> 'payload')::text) > s.max_payload
            then realtime.refuse_size(octet_length((i.note::jsonb -> 'payload')::text), s.max_payload)
            else pg_logical_emit_message(true, 'realtime.message',
                                         convert_to((i.note::jsonb || jsonb_build_object('key', s.stream_key))::text, 'UTF8')) end
from unnest(%(notes)s::text[]) with ordinality as i (note, n), realtime.settings s
order by n

-- name: engine_outcome
-- The messages that are stored under these ids of their senders, with their positions as far as they are known. Without a claim of the id: those
-- inserted within that many seconds.
select i.channel, i.id, i.scope, m.xid::text as xid, m.seq, c.position::text as position
from (
  select w.channel, w.id, w.scope, w.age, k.xid
  from unnest(%(channels)s::text[], %(ids)s::text[], %(scopes)s::text[], %(ages)s::int[]) as w (channel, id, scope, age)
  left join realtime.message_ids k on k.channel = w.channel and k.id = w.id and k.scope = w.scope
) i
left join lateral (
  (select m.xid, m.seq from realtime.messages m
   where m.channel = i.channel and m.xid = i.xid and m.id = i.id and realtime.id_scope(m.sender, m.connection_id) = i.scope limit 1)
  union all
  (select m.xid, m.seq from realtime.messages m
   where i.xid is null and m.channel = i.channel and m.id = i.id and realtime.id_scope(m.sender, m.connection_id) = i.scope
     and m.inserted_at > statement_timestamp() - make_interval(secs => i.age) limit 1)
  limit 1
) m on true
left join realtime.commits c on c.channel = i.channel and c.xid = m.xid
where i.xid is not null or m.seq is not null

-- name: engine_flushed
-- Up to where the WAL is flushed, as text, and on which timeline.
select pg_current_wal_flush_lsn()::text as position, left(pg_walfile_name(pg_current_wal_flush_lsn()), 8) as timeline

-- name: engine_transaction_status
-- Whether each of these transactions (64-bit ids) is in progress, committed or aborted; null: it ended too long ago. Raises
-- invalid_parameter_value for one that has not begun.
select x.xid::text as xid, pg_xact_status(x.xid) as status from unnest(%(xids)s::text[]::xid8[]) x (xid)

-- name: engine_inserted
-- Up to where the WAL is flushed, on which timeline, and whether that is all of it. Where the next record would begin a page, its place is behind the page's header
-- (24 bytes, at the beginning of a segment 40; src/include/access/xlog_internal.h), the flushed position before it.
select p.flushed::text as position, left(pg_walfile_name(p.flushed), 8) as timeline,
       p.inserted - p.flushed <= case when mod(p.flushed - '0/0', current_setting('wal_block_size')::int) = 0 then 40 else 0 end as whole
from (select pg_current_wal_insert_lsn() as inserted, pg_current_wal_flush_lsn() as flushed) p

-- name: engine_flush
-- A position behind everything that has committed, also with synchronous_commit = off: this transaction writes behind it, and its own commit
-- is flushed, and with it all WAL before. No decoder delivers a heartbeat.
select pg_logical_emit_message(true, %(prefix)s, '')::text as position, set_config('synchronous_commit', 'local', true),
       left(pg_walfile_name(pg_current_wal_flush_lsn()), 8) as timeline

-- name: engine_at_least_local
-- Flush commits in this session (or transaction) if synchronous_commit is off: what a client was answered survives a crash. Other values
-- stay as they are.
select set_config('synchronous_commit', 'local', %(transaction)s) where current_setting('synchronous_commit') = 'off'

-- name: engine_backend
-- The process and start time of a connection's backend.
select pg_backend_pid() as pid, backend_start::text as started from pg_stat_activity where pid = pg_backend_pid()

-- name: engine_backend_ended
-- Terminate a backend; returns whether it has ended.
select not exists (select from pg_stat_activity where pid = %(pid)s and backend_start = %(started)s::timestamptz
                   and (pg_terminate_backend(pid) or true)) as ended
