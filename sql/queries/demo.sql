-- name: demo_seed_lock
-- One seeder at a time.
select pg_advisory_xact_lock(hashtext('bunbase realtime demo'))

-- name: demo_before
-- Where the WAL stands before a statement runs.
select pg_current_wal_insert_lsn()::text as position

-- name: demo_before_commit
-- Nothing of this transaction's commit record is written yet, so the commit lies at this position or later.
select pg_current_wal_insert_lsn()::text as position, pg_current_xact_id_if_assigned() is not null as wrote

-- name: demo_after_commit
-- The commit record lies before this position.
select pg_current_wal_insert_lsn()::text as position, clock_timestamp()::text as now
