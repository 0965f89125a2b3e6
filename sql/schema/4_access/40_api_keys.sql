-- API keys: how they are made and ended. Servers judge them (server/auth/api_keys.py): they learn the rows through the stream.

drop function if exists realtime.create_api_key(text, text, text[], timestamptz);  -- it had no addresses

create or replace function realtime.create_api_key(name text, kind text, scopes text[] default null, expires_at timestamptz default null,
                                                   allowed_ips inet[] default null, denied_ips inet[] default null)
returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  known constant text[] := '{publish,history,presence,channels,connections,sessions,alerts,metrics,dashboard}';
  start text;
  made text;
  problem text := case
    when create_api_key.name is null or length(create_api_key.name) not between 1 and 100 then 'name has 1 to 100 characters'
    when create_api_key.name ~ '[\x01-\x1f\x7f]' then 'name has no control characters'
    when coalesce(create_api_key.kind, '') <> all ('{publishable,secret}') then 'kind is publishable or secret'
    when create_api_key.scopes is not null and create_api_key.kind = 'publishable' then 'scopes are for secret keys: a publishable one gives no rights'
    when not create_api_key.scopes <@ known or array_position(create_api_key.scopes, null) is not null
      then 'scopes are of ' || array_to_string(known, ', ') || '; null: all of them'
    when create_api_key.expires_at <= now() then 'expires_at has passed'
    when array_position(create_api_key.allowed_ips, null) is not null or array_position(create_api_key.denied_ips, null) is not null
      then 'allowed_ips and denied_ips have no null among their addresses'
    when create_api_key.expires_at >= '9000-01-01 00:00:00+00' then 'expires_at is before the year 9000; null: never'
  end;
begin
  if problem is not null then
    raise exception '%', problem using errcode = 'RT007';
  end if;
  start := case create_api_key.kind when 'secret' then 'sk_' else 'pk_' end || left(replace(gen_random_uuid()::text, '-', ''), 12);
  -- gen_random_uuid() takes 122 bits from pg_strong_random(). Three are 366 bits, of which SHA-256 keeps 256: no extension is needed.
  made := start || '_' || encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex');
  -- The first 32 bits of a hash of what precedes them: a typo is found without a look-up.
  made := made || left(encode(sha256(convert_to(made, 'UTF8')), 'hex'), 8);
  -- A slow hash (bcrypt, Argon2) protects what people choose, which can be guessed. 256 random bits cannot, however fast the hash is,
  -- and it is computed for every request.
  insert into realtime.api_keys (name, kind, prefix, hash, scopes, expires_at, allowed_ips, denied_ips)
  values (create_api_key.name, create_api_key.kind, start, encode(sha256(convert_to(made, 'UTF8')), 'hex'),
          create_api_key.scopes, create_api_key.expires_at, create_api_key.allowed_ips, create_api_key.denied_ips);
  return made;
end
$$;
comment on function realtime.create_api_key(text, text, text[], timestamptz, inet[], inet[]) is
  'Makes a key and returns it, which is the only time that it can be seen. kind: publishable or secret; scopes of a secret key: of publish, history, '
  'presence, channels, connections, sessions, alerts, metrics, dashboard (all that can be read; null: everything); allowed_ips and denied_ips: addresses and CIDR blocks of its users. Servers accept it when the change has reached them';

create or replace function realtime.revoke_api_key(key text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  done boolean;
begin
  update realtime.api_keys k set revoked_at = now()
  where (k.id::text = lower(revoke_api_key.key) or k.prefix = left(revoke_api_key.key, 15)) and k.revoked_at is null
  returning true into done;
  if done is null and not exists (
    select from realtime.api_keys k where k.id::text = lower(revoke_api_key.key) or k.prefix = left(revoke_api_key.key, 15)) then
    raise exception 'there is no such API key' using errcode = 'RT007', hint = 'Give its id or its prefix, as in realtime.api_keys.';
  end if;
  return coalesce(done, false);
end
$$;
comment on function realtime.revoke_api_key(text) is
  'Ends a key, by its id or its prefix: every server refuses it from then on, and closes the connections that were opened with it. '
  'False: it had been revoked before. A row that is deleted has the same effect, and leaves no trace';
