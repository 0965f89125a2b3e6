-- Analytics: what the nodes have counted, in minutes, hours and days (UTC). Logged, so that it survives a crash, and of few rows: a node adds its sums
-- once a minute. Not in the publication. Read it in the views realtime.analytics_*.
create table realtime.usage_totals (
  bucket text not null check (bucket in ('minute', 'hour', 'day')),
  at timestamptz not null,
  node_id text not null default '',
  users integer not null default 0,
  users_of_hour integer not null default 0,
  users_of_day integer not null default 0,
  sessions bigint not null default 0,
  sessions_ended bigint not null default 0,
  session_seconds double precision not null default 0,
  connections integer not null default 0,
  messages_in bigint not null default 0,
  messages_out bigint not null default 0,
  published bigint not null default 0,
  channels integer not null default 0,
  rolled_up boolean not null default false,
  written_at timestamptz not null default clock_timestamp(),
  primary key (bucket, at, node_id)
) with (fillfactor = 70);
comment on table realtime.usage_totals is
  'Sums of each minute and node, and of hours and days (node_id is empty there). Read them in realtime.analytics_minutes, _hours and _days';

create table realtime.usage_users (
  bucket text not null check (bucket in ('minute', 'hour', 'day')),
  at timestamptz not null,
  users integer not null,
  hashes bigint[],
  primary key (bucket, at)
) with (fillfactor = 70);
comment on table realtime.usage_users is
  'Distinct users, over all nodes: the 1,024 smallest of their hashes, and the number that follows from these. The salt of the hashes is new each day and then dropped, and so are the hashes';

create table realtime.usage_channels (
  bucket text not null check (bucket in ('minute', 'hour', 'day')),
  at timestamptz not null,
  channel text not null,
  node_id text not null default '',
  messages bigint not null default 0,
  subscribers integer not null default 0,
  primary key (bucket, at, channel, node_id)
) with (fillfactor = 70);
comment on table realtime.usage_channels is 'The channels with the most messages and subscribers. Read them in realtime.analytics_channels';

create table realtime.usage_countries (
  bucket text not null check (bucket in ('minute', 'hour', 'day')),
  at timestamptz not null,
  country text not null,
  node_id text not null default '',
  sessions bigint not null default 0,
  primary key (bucket, at, country, node_id)
) with (fillfactor = 70);
comment on table realtime.usage_countries is 'Sessions by country. Read them in realtime.analytics_countries';

create table realtime.usage_nodes (
  node_id text primary key,
  run text not null,
  batch bigint not null,
  position pg_lsn,
  written_at timestamptz not null default clock_timestamp()
);
comment on table realtime.usage_nodes is
  'The last sums that each node has added, so that none are added twice: its process, the number of the write, and the commit up to which messages are counted';

-- Unlogged: neither the WAL nor a base backup has a salt, so that a hash can be traced to no user once its day is over.
create unlogged table realtime.usage_salts (
  day date primary key,
  salt bytea not null
);
comment on table realtime.usage_salts is 'With what users are hashed today and tomorrow (UTC); those of earlier days are dropped';
