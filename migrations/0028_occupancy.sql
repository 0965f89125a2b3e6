-- Which channels announce that their first member has come and their last one has gone, and where.
create table realtime.occupancy (
  pattern text primary key check (length(pattern) between 1 and 255),
  channel text not null check (length(channel) between 1 and 255)
);
comment on table realtime.occupancy is
  'Channels that announce when they become occupied and vacated; written by realtime.announce_occupancy() and realtime.silence_occupancy()';
comment on column realtime.occupancy.pattern is 'the name of a channel, or the beginning of names and a *; the name itself counts, else the longest that matches';
comment on column realtime.occupancy.channel is 'where room:occupied and room:vacated are published';
