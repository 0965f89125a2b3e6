-- From where an API key may be used.
alter table realtime.api_keys
  add column allowed_ips inet[] check (array_position(allowed_ips, null) is null),
  add column denied_ips inet[] check (array_position(denied_ips, null) is null);
comment on column realtime.api_keys.allowed_ips is 'addresses and CIDR blocks that the key may be used from; null or empty: any. A change acts at once';
comment on column realtime.api_keys.denied_ips is 'addresses and CIDR blocks that it may not be used from, also if they are among the allowed ones';
