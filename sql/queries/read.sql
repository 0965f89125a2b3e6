-- name: current_snapshot
-- What a query that starts now sees, and a WAL position that is later than everything it sees.
select pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text

-- name: end_a_transaction
-- By itself a transaction: it takes an id and ends, so that later snapshots reach beyond it.
select pg_current_xact_id()

-- name: flushed
-- Up to where the WAL is flushed; the walsender sends no further.
select pg_current_wal_flush_lsn()::text

-- name: begin_read
-- One snapshot for everything that follows.
begin isolation level repeatable read read only

-- name: become_reader
-- Clients' own SQL runs with the privileges of the exposed columns only.
set local role realtime_reader

-- name: end_read
-- Nothing was written.
commit
