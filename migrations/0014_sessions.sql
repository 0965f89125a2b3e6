-- Sessions of users: a token that names one is accepted as long as the session lasts.
create table realtime.sessions (
  id text primary key default gen_random_uuid()::text check (length(id) between 1 and 256),
  user_id text not null check (length(user_id) between 1 and 256),
  created_at timestamptz not null default now(),
  expires_at timestamptz check (expires_at between '2000-01-01 00:00:00+00' and '9000-01-01 00:00:00+00'),
  revoked_at timestamptz,
  revoked_reason text check (length(revoked_reason) <= 200),
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object')
);
create index sessions_user on realtime.sessions (user_id);
alter table realtime.sessions replica identity full;
comment on table realtime.sessions is
  'Sessions of users, written by the application: with the setting session_validation a token that names one (claim sid) is accepted as long as the session lasts. '
  'realtime.revoke_session() and realtime.revoke_user_sessions() end them; a deleted row has the same effect';
comment on column realtime.sessions.id is 'the claim sid of its tokens';
comment on column realtime.sessions.user_id is 'the user of its tokens, as the claim names it: another user''s token is refused';
comment on column realtime.sessions.expires_at is 'when it ends; null: not by itself. May be moved';
comment on column realtime.sessions.revoked_at is 'since when its tokens are refused; its connections were closed then';
comment on column realtime.sessions.revoked_reason is 'for the people who look after it: clients do not get it';
comment on column realtime.sessions.metadata is 'what the application wants to know of it, such as the device; servers do not read it';

alter publication bunbase_realtime add table realtime.sessions;

alter table realtime.api_keys drop constraint api_keys_check;
alter table realtime.api_keys add constraint api_keys_check
  check (scopes <@ '{publish,history,presence,channels,connections,sessions}' and (scopes is null or kind = 'secret'));
