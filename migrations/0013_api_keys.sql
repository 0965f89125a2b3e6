-- Keys of applications (publishable) and of their servers (secret).
create table realtime.api_keys (
  id uuid primary key default gen_random_uuid(),
  name text not null check (length(name) between 1 and 100),
  kind text not null check (kind in ('publishable', 'secret')),
  prefix text not null unique check (prefix ~ '^[ps]k_[0-9a-f]{12}$'),
  hash text not null check (hash ~ '^[0-9a-f]{64}$'),
  scopes text[] check (scopes <@ '{publish,history,presence,channels,connections}' and (scopes is null or kind = 'secret')),
  expires_at timestamptz check (expires_at between '2000-01-01 00:00:00+00' and '9000-01-01 00:00:00+00'),
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);
alter table realtime.api_keys replica identity full;
comment on table realtime.api_keys is
  'Keys of applications and of their servers: made by realtime.create_api_key(), ended by realtime.revoke_api_key(). The keys themselves are not kept';
comment on column realtime.api_keys.kind is
  'publishable: names the application, and gives nothing that an anonymous client has not; secret: for REST requests of servers';
comment on column realtime.api_keys.prefix is 'how the key begins, by which it is found and shown';
comment on column realtime.api_keys.hash is 'SHA-256 of the whole key, in hex';
comment on column realtime.api_keys.scopes is 'what a secret key may do over REST; null: everything';
comment on column realtime.api_keys.expires_at is 'when it stops being accepted; null: never';
comment on column realtime.api_keys.revoked_at is 'since when it is not accepted any more';

alter publication bunbase_realtime add table realtime.api_keys;
