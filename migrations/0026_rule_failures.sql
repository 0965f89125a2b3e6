-- The last error of each rule, beside the rules: a column there would be a change of the rule for every node.
create table realtime.rule_failures (
  channel text not null check (length(channel) between 1 and 255),
  action text not null check (action in ('subscribe', 'publish', 'presence')),
  condition jsonb not null,
  error text not null check (length(error) <= 1000),
  failed_in text,
  failed_at timestamptz not null default now(),
  primary key (channel, action)
);
comment on table realtime.rule_failures is 'What servers report of rules that raise errors; read it in realtime.rule_errors, which leaves out what is no rule any more';
comment on column realtime.rule_failures.channel is 'the channel or pattern of the rule';
comment on column realtime.rule_failures.action is 'the action that it is about: subscribe, publish, presence';
comment on column realtime.rule_failures.condition is 'the expression that failed';
comment on column realtime.rule_failures.error is 'the last error, in words';
comment on column realtime.rule_failures.failed_in is 'the channel in which it failed; null: it does not compile';
comment on column realtime.rule_failures.failed_at is 'when a server reported that';
