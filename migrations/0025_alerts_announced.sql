-- What could not be broadcast at once, because of a lock, is broadcast later.
alter table realtime.alert_notices add column announced boolean not null default true;
create index alert_notices_unannounced on realtime.alert_notices (alert_id) where not announced;
comment on column realtime.alert_notices.announced is
  'whether that the alert was raised or cleared was broadcast over admin:alerts, or need not be; false: it waits for a lock on the messages';
