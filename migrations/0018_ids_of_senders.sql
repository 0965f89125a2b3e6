-- An id belongs to the sender that gave it: one sender's ids are of no concern to another one's messages.
alter table realtime.message_ids add column scope text not null default '';
alter table realtime.message_ids drop constraint message_ids_pkey;
alter table realtime.message_ids add constraint message_ids_pkey primary key (channel, id, scope);
comment on table realtime.message_ids is 'Ids given by publishers: the same id of the same sender in the same channel is stored once. They expire with the messages';
comment on column realtime.message_ids.scope is 'whose id it is: see realtime.id_scope()';
