-- Scores of senders, against repeats, bursts and links.
alter table realtime.content_policies add column spam jsonb;
comment on column realtime.content_policies.spam is
  'how fast a sender may publish: {"threshold": 10, "half_life": 10, "message": 1, "repeat": 3, "link": 2, "action": "reject" or "flag"}';
