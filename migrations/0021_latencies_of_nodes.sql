-- What each node has observed of latencies in the last minutes, so that any of them can answer for all.
alter table realtime.node_stats add column stages jsonb;
comment on column realtime.node_stats.stages is
  'observations of the last five minutes by stage of delivery: how many up to each bound, in microseconds; null: by a version that did not write it down';
