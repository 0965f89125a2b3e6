-- Which history positions belong to; messages that came by a route; one limit for payloads.

alter table realtime.settings
  add column epoch text not null default left(md5(gen_random_uuid()::text), 12),
  add column timeline text;
comment on column realtime.settings.epoch is
  'names the cluster and the history that positions belong to: another one after a restore into another cluster or to an earlier moment';
comment on column realtime.settings.timeline is
  'the timeline of the WAL in this epoch; PostgreSQL begins another one when a backup is restored to an earlier moment, and when a standby is promoted';

create table realtime.epochs (
  epoch text primary key,
  ended pg_lsn not null
);
comment on table realtime.epochs is
  'Earlier epochs of this cluster; positions of theirs up to ended mean the same today, because they were written down before the histories parted';

alter table realtime.messages add column routed_from text;
comment on column realtime.messages.routed_from is 'the channel a route brought the message from; it is not routed again';

-- The limit is realtime.settings.max_payload, whoever publishes: a trigger (sql/schema/31_publish.sql) instead of a constant.
do $$
declare
  part regclass;
begin
  for part in select t.relid from pg_partition_tree('realtime.messages') t order by t.level loop
    execute format('alter table %s drop constraint if exists messages_payload_size', part);
  end loop;
end
$$;
update realtime.settings set max_payload = greatest(max_payload, 1024);
alter table realtime.settings drop constraint settings_max_payload_check,
  add constraint settings_max_payload_check check (max_payload between 1024 and 1048576);
comment on column realtime.settings.max_payload is
  'the largest payload of a message, in bytes of JSON text as PostgreSQL prints it; holds for sockets, REST and SQL alike';
