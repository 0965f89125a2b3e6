-- What clients may publish: a schema for the data of messages and presence.
create table realtime.content_policies (
  name text primary key,
  channel text not null default '*',
  event text not null default '*',
  schema jsonb,
  enabled boolean not null default true,
  updated_at timestamptz not null default now()
);
alter table realtime.content_policies replica identity full;
comment on table realtime.content_policies is
  'What clients may publish, by channel and event. Every policy that matches applies, in the order of names; what SQL and the REST API publish is not checked';
comment on column realtime.content_policies.channel is 'the channels it concerns: a name, or a pattern (a * at the end stands for any text)';
comment on column realtime.content_policies.event is
  'the events of messages it concerns, as a name or a pattern; presence:update stands for presence data instead of messages';
comment on column realtime.content_policies.schema is 'a JSON Schema for the data; what does not fit it is refused (RT_007; presence: RT_009)';
comment on column realtime.content_policies.enabled is 'false: the policy is kept and not applied';
