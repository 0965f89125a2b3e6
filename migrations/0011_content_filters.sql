-- Words and patterns that messages may not have.
alter table realtime.content_policies add column filters jsonb;
comment on column realtime.content_policies.filters is
  'a list of {"words": [...], "patterns": [...], "fields": [...], "action": "reject", "mask" or "flag"}; without fields, every text is searched';
