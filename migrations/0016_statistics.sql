-- What a node knows of itself in memory, for the views realtime.stat_*. Unlogged: no row of these is in the WAL, so neither the slots nor backups
-- carry them; a crash of PostgreSQL empties them, and the nodes write them again.
alter table realtime.nodes add column renewed_at timestamptz;
comment on column realtime.nodes.renewed_at is 'when the lease was renewed last; null: by a version that did not write it down';

create unlogged table realtime.node_stats (
  node_id text primary key references realtime.nodes on delete cascade,
  version text not null,
  state text not null,
  reason text,
  position pg_lsn not null,
  channels integer not null,
  subscriptions integer not null,
  queries integer not null,
  query_subscriptions integer not null,
  messages bigint not null,
  reads bigint not null,
  collected_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on table realtime.node_stats is 'Figures of each running node, written by itself when they have changed; read them in realtime.stat_nodes';

create unlogged table realtime.node_channels (
  node_id text not null references realtime.node_stats on delete cascade,
  channel text not null,
  subscribers integer not null,
  primary key (channel, node_id)
) with (fillfactor = 70);
create index node_channels_node on realtime.node_channels (node_id);
comment on table realtime.node_channels is
  'Subscribers of channels on each running node (the channels with the most of them); read them in realtime.stat_channels';

create unlogged table realtime.node_queries (
  node_id text not null references realtime.node_stats on delete cascade,
  query_id text not null,
  collection text not null,
  role text not null,
  strategy text not null,
  reason text,
  query text not null,
  subscribers integer not null,
  result_rows integer not null,
  reads bigint not null,
  read_ms double precision not null,
  cost double precision,
  primary key (node_id, query_id)
) with (fillfactor = 70);
comment on table realtime.node_queries is
  'Live queries of each running node (those with the most reads and subscribers); read them in realtime.stat_queries';
