-- Channels, messages, presence: rows first, seen by clients through the feed. What order and position mean is said at realtime.commits.

-- What holds for the whole database: exactly one row.
create table realtime.settings (
  one boolean primary key default true check (one),
  system_identifier text not null,
  stream_key text not null default gen_random_uuid()::text,
  max_payload integer not null default 131072 check (max_payload between 1 and 1048576)
);
insert into realtime.settings (system_identifier) select system_identifier::text from pg_control_system();
comment on table realtime.settings is 'One row of settings of the whole service';
comment on column realtime.settings.system_identifier is
  'the cluster whose WAL the positions in realtime.commits belong to; another one after a dump and restore: realtime.adopt_cluster()';
comment on column realtime.settings.stream_key is
  'is in every logical message that our functions emit ("key"): anybody may call pg_logical_emit_message, only we know this';
comment on column realtime.settings.max_payload is 'the largest payload of a message, in bytes of JSON text as PostgreSQL prints it';

-- How channels without a row behave. The most specific pattern that matches counts (the one with the longest text).
create table realtime.channel_defaults (
  pattern text primary key check (length(pattern) between 1 and 255),
  dynamic boolean not null default true,
  history boolean not null default true,
  ttl interval check (ttl > interval '0'),
  max_messages integer check (max_messages > 0),
  presence_timeout interval not null default '10 s' check (presence_timeout >= interval '0'),
  typing_timeout interval not null default '5 s' check (typing_timeout > interval '0')
);
insert into realtime.channel_defaults (pattern, ttl) values ('*', '7 days');
comment on table realtime.channel_defaults is
  'What holds for channels without a row of their own, by name pattern (a * at the end stands for any text); the longest pattern that matches counts';
comment on column realtime.channel_defaults.dynamic is 'such a channel exists without a row; false: it must be created first (RT_004)';
comment on column realtime.channel_defaults.ttl is 'how long messages are kept; null: for ever. Also for channels with a row whose ttl is null';
comment on column realtime.channel_defaults.max_messages is 'how many messages are kept; null: no limit. Also for channels with a row that has null';

-- Channels with a row are rooms: made on purpose, with settings, metadata and a life.
create table realtime.channels (
  name text primary key check (length(name) between 1 and 255),
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
  permissions jsonb not null default '{}' check (jsonb_typeof(permissions) = 'object'),
  capacity integer check (capacity > 0),
  history boolean not null default true,
  ttl interval check (ttl > interval '0'),
  max_messages integer check (max_messages > 0),
  presence_timeout interval not null default '10 s' check (presence_timeout >= interval '0'),
  typing_timeout interval not null default '5 s' check (typing_timeout > interval '0'),
  created_by text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  closed_at timestamptz
);
alter table realtime.channels replica identity full;
comment on table realtime.channels is 'Rooms: channels with settings of their own. Insert, update and closing reach subscribers as room:created, room:updated, room:closed';
comment on column realtime.channels.capacity is 'how many users may be in at once (several connections of a user count once); null: no limit';
comment on column realtime.channels.history is 'false: messages are delivered but not stored';
comment on column realtime.channels.closed_at is 'since then nobody can subscribe or publish; the messages stay until they expire';

-- Messages, by day (UTC). The default partition takes what no partition was made for, so that publishing never fails for that.
-- Not a key: (channel, id). A unique index over partitions cannot be had, and would be a lock; see realtime.message_ids.
create table realtime.messages (
  seq bigint generated always as identity,
  channel text not null check (length(channel) between 1 and 255),
  event text not null check (length(event) between 1 and 255),
  payload jsonb not null default 'null' constraint messages_payload_size check (octet_length(payload::text) <= 262144),
  sender text,
  connection_id text,
  id text not null default gen_random_uuid()::text check (length(id) between 1 and 255),
  audience jsonb check (jsonb_typeof(audience) = 'object'),
  priority smallint not null default 0,
  inserted_at timestamptz not null default clock_timestamp(),
  xid xid8 not null default pg_current_xact_id(),
  primary key (inserted_at, seq)
) partition by range (inserted_at);
create index messages_channel on realtime.messages (channel, xid, seq);
create table realtime.messages_default partition of realtime.messages default;
comment on table realtime.messages is
  'Published messages. Inserting channel, event and payload publishes when the transaction commits. Partitions are made and dropped by the servers';
comment on column realtime.messages.seq is 'the order inside a transaction; between transactions the order is that of commits';
comment on column realtime.messages.audience is
  'who of the subscribers gets it: {"users", "connections", "exclude": {"users", "connections", "sender"}, "where"}; null: all';
comment on column realtime.messages.priority is 'higher is not queued behind lower under load';
comment on column realtime.messages.xid is 'the transaction that published it; realtime.commits says where it committed';

-- Order is commit order, and a row cannot know it: ids and times are handed out before the commit. So whoever follows the stream writes down
-- where each transaction committed, before its slot is confirmed past it. A message's position is (position, seq), written 0/16B3790/42.
-- One row per channel and transaction: the last messages of a channel are then read from the end of one index, however busy the others are.
create table realtime.commits (
  channel text not null,
  xid xid8 not null,
  position pg_lsn not null,
  first_at timestamptz not null,
  last_at timestamptz not null,
  primary key (channel, xid)
);
create index commits_order on realtime.commits (channel, position);
create index commits_age on realtime.commits using brin (last_at);
comment on table realtime.commits is 'Where the transactions that published messages committed, per channel; written by every node (the first wins)';
comment on column realtime.commits.first_at is 'the earliest inserted_at of its messages in this channel: names the partitions they are in';
comment on column realtime.commits.last_at is 'the latest';

-- The end of what is gone, so that a client that resumes can be told whether it has missed anything.
create table realtime.expired (
  channel text primary key,
  position pg_lsn not null,
  seq bigint not null
);
comment on table realtime.expired is 'The last position whose message was removed, per channel; channel '''' stands for all (dropped partitions)';

-- Days whose partition was dropped and whose commits have yet to be removed, in portions: that is too much for one transaction.
create table realtime.dropped_days (
  from_at timestamptz primary key,
  to_at timestamptz not null
);

-- Ids that clients gave their messages: the one place where publishing can wait for another transaction (one with the same id).
create table realtime.message_ids (
  channel text not null,
  id text not null,
  xid xid8 not null default pg_current_xact_id(),
  inserted_at timestamptz not null default clock_timestamp(),
  primary key (channel, id)
);
create index message_ids_age on realtime.message_ids using brin (inserted_at);
comment on table realtime.message_ids is 'Ids given by publishers: the same id in the same channel is stored once. They expire with the messages';

-- Clients that are connected, by node. A row that is deleted disconnects its client, wherever it is.
create table realtime.connections (
  id text primary key,
  node_id text not null references realtime.nodes on delete cascade,
  user_id text,
  attributes jsonb not null default '{}' check (jsonb_typeof(attributes) = 'object'),
  transport text not null,
  ip inet,
  connected_at timestamptz not null default now(),
  dropped_at timestamptz,
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object')
);
alter table realtime.connections replica identity full;
create index connections_node on realtime.connections (node_id);
create index connections_user on realtime.connections (user_id);
comment on table realtime.connections is 'Connected clients. Deleting a row disconnects the client on whichever node holds it';
comment on column realtime.connections.attributes is 'what audiences can ask for ("where")';
comment on column realtime.connections.dropped_at is 'the connection broke; the row stays as long as its presence may come back';

-- Who is in a channel, one row per connection. Members of a channel with a capacity always have one.
create table realtime.presence (
  channel text not null check (length(channel) between 1 and 255),
  connection_id text not null references realtime.connections on delete cascade,
  user_id text not null,
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
  state jsonb not null default '{}' check (jsonb_typeof(state) = 'object'),
  joined_at timestamptz not null default now(),
  left_at timestamptz,
  typing_until timestamptz,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (channel, connection_id)
);
alter table realtime.presence replica identity full;
create index presence_connection on realtime.presence (connection_id);
create index presence_left on realtime.presence (left_at) where left_at is not null;
create index presence_typing on realtime.presence (typing_until) where typing_until is not null;
comment on table realtime.presence is 'Members of channels, one row per connection; a user is present as long as there is a row';
comment on column realtime.presence.metadata is 'name, avatar and the like';
comment on column realtime.presence.state is 'status, typing and what else the client says of itself';
comment on column realtime.presence.left_at is 'the connection broke then and may come back; removed after the presence_timeout of the channel';
comment on column realtime.presence.updated_at is 'of several connections of a user, the one that changed last is shown';
comment on column realtime.presence.typing_until is 'when typing is taken back (typing_timeout of the channel); null: not typing';

create table realtime.last_seen (
  user_id text not null,
  channel text not null,
  at timestamptz not null,
  primary key (user_id, channel)
);
comment on table realtime.last_seen is 'When a user was last in a channel; kept after leaving';

-- Content-based routing: a message in a channel that matches from_channel, and for which match holds, also goes to to_channel.
create table realtime.routes (
  id bigint generated always as identity primary key,
  from_channel text not null check (length(from_channel) between 1 and 255),
  to_channel text not null check (length(to_channel) between 1 and 255),
  match jsonb not null default '[]' check (jsonb_typeof(match) = 'array'),
  enabled boolean not null default true,
  check (from_channel <> to_channel)
);
alter table realtime.routes replica identity full;
comment on table realtime.routes is 'Messages matching from_channel (a pattern) and match also go to to_channel; they are not routed again from there';
comment on column realtime.routes.match is 'conditions as in a live query''s where, over data.…, event and sender; []: every message';

-- What users do not want to get.
create table realtime.preferences (
  user_id text not null,
  channel text,
  event text,
  muted boolean not null default true
);
create unique index preferences_one on realtime.preferences (user_id, coalesce(channel, ''), coalesce(event, ''));
alter table realtime.preferences replica identity full;
comment on table realtime.preferences is
  'Muted channels and events of users; null: all of them. The most specific row counts: channel and event, channel, event, all';

-- Who may publish, manage and look by SQL.
do $$
begin
  if not exists (select from pg_roles where rolname = 'realtime_publisher') then
    create role realtime_publisher nologin;
  end if;
exception when duplicate_object or unique_violation then
  null;  -- another database of this cluster made it at the same moment
end
$$;

alter publication bunbase_realtime add table
  realtime.channel_defaults, realtime.channels, realtime.messages, realtime.connections, realtime.presence, realtime.routes, realtime.preferences;
