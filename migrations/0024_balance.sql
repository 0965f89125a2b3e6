-- How full each node is, and orders to move clients. Unlogged, as the figures of nodes: no row of these is in the WAL.
create unlogged table realtime.node_loads (
  node_id text primary key references realtime.nodes on delete cascade,
  url text not null,
  region text,
  capacity integer,
  connections integer not null,
  ready boolean not null,
  cpu double precision not null,
  loop_lag double precision not null,
  feed_lag double precision not null,
  collected_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on table realtime.node_loads is 'How full each running node is, written by itself every two seconds; read it in realtime.stat_nodes';

create unlogged table realtime.moves (
  id bigint generated always as identity primary key,
  node_id text not null references realtime.nodes on delete cascade,
  share double precision check (share > 0 and share <= 1),
  seconds double precision not null check (seconds >= 0 and seconds <= 3600),
  automatic boolean not null default false,
  requested_at timestamptz not null default clock_timestamp(),
  begun_at timestamptz,
  asked integer
);
create index moves_node on realtime.moves (node_id) where begun_at is null;
comment on table realtime.moves is
  'Requests to clients of a node to connect again, so that they come to other nodes: orders (realtime.move_clients), and what nodes did by themselves. A day of them';
comment on column realtime.moves.share is 'of its clients that the node is to ask; null: it decided by itself';
comment on column realtime.moves.seconds is 'over which the clients connect again';
comment on column realtime.moves.begun_at is 'when the node took the order; an order of more than a minute is not taken any more';
comment on column realtime.moves.asked is 'clients that were asked';
