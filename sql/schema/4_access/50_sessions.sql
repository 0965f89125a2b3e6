-- Sessions of users: how they are ended. Servers judge them (server/auth/sessions.py): they learn the rows through the stream.

create or replace function realtime.revoke_session(sid text, reason text default null) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  done boolean;
begin
  update realtime.sessions s set revoked_at = now(), revoked_reason = reason
  where s.id = sid and s.revoked_at is null
  returning true into done;
  if done is null and not exists (select from realtime.sessions s where s.id = sid) then
    raise exception 'there is no such session' using errcode = 'RT007', hint = 'Give its id, as in realtime.sessions and in the claim sid of its tokens.';
  end if;
  return coalesce(done, false);
end
$$;
comment on function realtime.revoke_session(text, text) is
  'Ends a session: every server refuses its tokens from then on, and closes its connections. False: it had been revoked before';

create or replace function realtime.revoke_user_sessions(user_id text, reason text default null, except_sid text default null) returns integer
language sql set search_path = pg_catalog, pg_temp as $$
  with ended as (
    update realtime.sessions s set revoked_at = now(), revoked_reason = revoke_user_sessions.reason
    where s.user_id = revoke_user_sessions.user_id and s.revoked_at is null and s.id is distinct from except_sid
    returning 1
  )
  select count(*)::integer from ended
$$;
comment on function realtime.revoke_user_sessions(text, text, text) is
  'Ends all sessions of a user, but not except_sid (the one in which the user asked for it); how many were ended';
