-- Which users were removed from which channels lately: for servers whose stream had a hole at that moment.
create table realtime.kicks (
  id uuid primary key default gen_random_uuid(),
  channel text not null,
  user_id text not null,
  reason text,
  kicked_at timestamptz not null default clock_timestamp()
);
create index kicks_by_time on realtime.kicks (kicked_at);
comment on table realtime.kicks is
  'Users that realtime.kick() has removed from channels, for a day. A removal is no ban: servers read this after a gap in the stream, to carry out what it hid';
comment on column realtime.kicks.id is 'what the stream calls this removal, so that a server carries it out once';
comment on column realtime.kicks.reason is 'for the user, with the end of the subscription';
