-- Who may do what with a channel: rules by channel or pattern.
create table realtime.rules (
  channel text primary key check (length(channel) between 1 and 255),
  rules jsonb not null check (jsonb_typeof(rules) = 'object'),
  updated_at timestamptz not null default now()
);
alter table realtime.rules replica identity full;
comment on table realtime.rules is
  'Who may subscribe to, publish to and be present in a channel, or in all that match a pattern; what no row decides, the kind of the channel does';
comment on column realtime.rules.channel is 'the name of a channel, or a pattern: a * stands for any text, wherever it is';
comment on column realtime.rules.rules is
  'a condition for each of subscribe, publish and presence: true, false or an expression of CEL; what is not mentioned is left to the next row';

alter publication bunbase_realtime add table realtime.rules;
