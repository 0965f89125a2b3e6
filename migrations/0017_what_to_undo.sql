-- What was changed outside the schema, so that `realtime uninstall` can change it back.
create table realtime.changed_identities (
  relation regclass primary key,
  former "char" not null,
  former_index regclass,
  given "char" not null,
  changed_at timestamptz not null default now()
);
comment on table realtime.changed_identities is
  'Tables and partitions whose replica identity realtime.expose() has changed. realtime uninstall restores it where it is still the one that was given';
comment on column realtime.changed_identities.former is 'pg_class.relreplident before the first change';
comment on column realtime.changed_identities.former_index is 'the index that it was, if it was one';
comment on column realtime.changed_identities.given is 'pg_class.relreplident since the last change';

create table realtime.made_grants (
  statement text primary key,
  made_at timestamptz not null default now()
);
comment on table realtime.made_grants is
  'Grants outside the schema realtime that roles of realtime.server_roles lacked and were given. realtime uninstall revokes them';
