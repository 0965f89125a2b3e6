-- name: migration_lock
-- One migrator at a time; the others wait and then find nothing to do.
select pg_advisory_xact_lock(hashtext('bunbase realtime migrate'))

-- name: migration_table
-- Where applied migrations are written down.
do $$
begin
  if to_regclass('realtime.migrations') is null then
    create schema if not exists realtime;
    create table realtime.migrations (
      name text primary key,
      checksum text not null,
      applied_at timestamptz not null default now()
    );
  end if;
end
$$

-- name: migrations_done
-- Applied migrations and the checksums of their files.
select name, checksum from realtime.migrations

-- name: migration_record
-- A migration has been applied.
insert into realtime.migrations (name, checksum) values (%s, %s)

-- name: migration_schema_record
-- sql/schema as a whole has been replaced; its checksum tells whether a later version changed it.
insert into realtime.migrations (name, checksum) values (%s, %s)
on conflict (name) do update set checksum = excluded.checksum, applied_at = now()

-- name: migrations_table_exists
-- Whether this database was ever migrated.
select to_regclass('realtime.migrations') is not null
