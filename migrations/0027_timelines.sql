-- Where timelines ended of which this one is the continuation, so that positions before that go on to be good.
alter table realtime.settings add column timelines jsonb;
comment on column realtime.settings.timelines is
  'where each earlier timeline of this cluster ended, as the history file of the present one has it: {"00000001": "0/3000148"}';

alter table realtime.epochs add column parted pg_lsn, add column before_xid xid8;
comment on column realtime.epochs.parted is
  'the last position before the histories parted; null: not known, or positions of messages from before are not known. Once all of them are recorded, ended is the same';
comment on column realtime.epochs.before_xid is 'transactions from before the histories parted have ids below this one';
