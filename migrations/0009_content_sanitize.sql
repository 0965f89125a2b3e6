-- Fields of messages whose markup is cleaned before they are stored.
alter table realtime.content_policies add column sanitize jsonb;
comment on column realtime.content_policies.sanitize is
  'fields that hold HTML, by path, each with what may stay of it: {"data.text": "text", "data.items.*.body": "formatting"}';
