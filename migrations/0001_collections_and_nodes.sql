-- Collections: the tables that clients may subscribe to. Nothing is exposed until a row stands here.
create table realtime.collections (
  name text primary key check (name ~ '^[A-Za-z_][A-Za-z0-9_.-]{0,127}$'),
  relation regclass not null unique,
  columns name[] check (columns <> '{}'),
  camel_case boolean not null default false,
  created_at timestamptz not null default now()
);
comment on table realtime.collections is 'Tables exposed to clients as db:collection:NAME; written by realtime.expose() and realtime.unexpose()';
comment on column realtime.collections.columns is 'columns clients may see and query; null: all, also those added later';
comment on column realtime.collections.camel_case is 'clients see created_at as createdAt';

-- Nodes: running servers, each with its own slot, alive as long as the lease is renewed.
create table realtime.nodes (
  id text primary key,
  slot_name name not null unique,
  throw_away boolean not null default false,
  host text,
  pid integer,
  started_at timestamptz not null default now(),
  lease_expires_at timestamptz not null
);
comment on table realtime.nodes is 'Running nodes. When a lease runs out, the other nodes drop its slot, so that it does not pin WAL';

-- Who runs the queries of clients: sees the exposed columns and nothing else.
do $$
begin
  if not exists (select from pg_roles where rolname = 'realtime_reader') then
    create role realtime_reader nologin noinherit;
  end if;
exception when duplicate_object or unique_violation then
  null;  -- another database of this cluster made it at the same moment
end
$$;

-- What pgoutput decodes; realtime.expose() adds tables. Generated columns can be published since PostgreSQL 18.
do $$
begin
  execute 'create publication bunbase_realtime with (publish_via_partition_root = true'
    || case when current_setting('server_version_num')::int >= 180000
            then ', publish_generated_columns = stored' else '' end || ')';
end
$$;
