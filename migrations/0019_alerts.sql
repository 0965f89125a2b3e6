-- Alerts: the rules, and what they have raised. The nodes measure; realtime.judge_alerts() compares, raises and clears.
create table realtime.alert_rules (
  name text primary key check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  measure text not null check (measure in (
    'connection_share', 'error_share', 'delivery_seconds', 'disconnect_share', 'node_unhealthy', 'slot_lag_bytes', 'slot_retained_bytes', 'slot_lost'
  )),
  threshold double precision not null check (threshold >= 0 and threshold < 'infinity'),
  clear_at double precision check (clear_at >= 0 and clear_at <= threshold),
  hold interval not null default '0' check (hold >= '0' and hold <= '1 day'),
  severity text not null default 'warning' check (severity in ('info', 'warning', 'critical')),
  enabled boolean not null default true,
  description text check (length(description) <= 1000)
);
comment on table realtime.alert_rules is 'What raises an alert: a measure that is above a threshold for so long. Change, add and disable them with SQL';
comment on column realtime.alert_rules.name is 'its name, which alerts have as rule';
comment on column realtime.alert_rules.measure is
  'of each node: connection_share (of its capacity), error_share (of the messages from clients in five minutes), delivery_seconds (commit to written, p95 of five minutes), disconnect_share (broken connections among those that ended in five minutes), node_unhealthy (1: degraded, or gone without a stop); of each slot: slot_lag_bytes, slot_retained_bytes, slot_lost (1: lost or missing)';
comment on column realtime.alert_rules.threshold is 'raised while the measure is above it; shares are 0 to 1';
comment on column realtime.alert_rules.clear_at is 'cleared when the measure is not above it any more; null: the threshold';
comment on column realtime.alert_rules.hold is 'how long it must have been above without a break';
comment on column realtime.alert_rules.severity is 'info, warning or critical, for those who get the alert';
comment on column realtime.alert_rules.enabled is 'false: it raises nothing, and what it raised is cleared';
comment on column realtime.alert_rules.description is 'what to do, for those who get the alert';

insert into realtime.alert_rules (name, measure, threshold, clear_at, hold, severity, description) values
  ('many_connections', 'connection_share', 0.8, 0.7, '0', 'warning', 'Add a node, or raise the limit of open files (ulimit -n).'),
  ('many_errors', 'error_share', 0.05, 0.03, '1 minute', 'warning', 'realtime_errors_total by code shows which; RT_001 points at the database, RT_003 at rules, RT_006 at limits.'),
  ('slow_delivery', 'delivery_seconds', 1, 0.5, '1 minute', 'warning', 'realtime_stage_latency_seconds shows the stage.'),
  ('many_disconnects', 'disconnect_share', 0.5, 0.3, '1 minute', 'warning', 'Look at the network and at proxies between clients and node: idle timeouts below the ping interval are the most common cause.'),
  ('unhealthy_node', 'node_unhealthy', 0, null, '30 seconds', 'critical', 'realtime.stat_nodes names the reason; realtime doctor looks for causes.'),
  ('slot_lag', 'slot_lag_bytes', 268435456, 67108864, '1 minute', 'warning', 'A node that does not keep up, or is away, holds WAL: see realtime.stat_slots.'),
  ('wal_retained', 'slot_retained_bytes', 4294967296, 2147483648, '0', 'critical', 'The disk of the database fills: find the slot in realtime.stat_slots; realtime slots drop removes one whose node does not come back.'),
  ('slot_lost', 'slot_lost', 0, null, '0', 'critical', 'Its node reads everything again and goes on. Raise max_slot_wal_keep_size, or find what kept the node from reading.');

create table realtime.alerts (
  id bigint generated always as identity primary key,
  rule text not null,
  measure text not null,
  subject text not null,
  severity text not null,
  value double precision not null,
  threshold double precision not null,
  description text,
  raised_at timestamptz not null default clock_timestamp(),
  cleared_at timestamptz,
  cleared_because text check (cleared_because in ('measure', 'rule', 'subject'))
);
create unique index alerts_open on realtime.alerts (rule, subject) where cleared_at is null;
create index alerts_raised_at on realtime.alerts (raised_at);
comment on table realtime.alerts is 'Alerts, open (cleared_at is null) and past. SELECT realtime.expose(''realtime.alerts'') makes them a live query';
comment on column realtime.alerts.rule is 'the rule that raised it: see realtime.alert_rules';
comment on column realtime.alerts.measure is 'what was measured';
comment on column realtime.alerts.subject is 'the node or the slot';
comment on column realtime.alerts.severity is 'as the rule had it';
comment on column realtime.alerts.value is 'what was measured when it was raised';
comment on column realtime.alerts.threshold is 'as the rule had it';
comment on column realtime.alerts.description is 'as the rule had it';
comment on column realtime.alerts.raised_at is 'when it was raised';
comment on column realtime.alerts.cleared_at is 'when its cause was gone; null: it is open';
comment on column realtime.alerts.cleared_because is 'measure: not above any more; rule: disabled or gone; subject: the node or slot is gone';

create table realtime.alert_notices (
  alert_id bigint not null references realtime.alerts on delete cascade,
  event text not null check (event in ('alert.raised', 'alert.cleared')),
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default clock_timestamp(),
  delivered_at timestamptz,
  error text,
  primary key (alert_id, event)
);
create index alert_notices_due on realtime.alert_notices (next_attempt_at) where delivered_at is null;
comment on table realtime.alert_notices is 'What is to be sent to the webhook for alerts, and what was';

create table realtime.lost_nodes (
  id text primary key,
  lost_at timestamptz not null default clock_timestamp()
);
comment on table realtime.lost_nodes is 'Nodes that ended without a stop and were removed by others, for a day or until they are back';

-- Measures that are above their threshold and not yet for long enough. Unlogged: after a crash of PostgreSQL they begin anew.
create unlogged table realtime.alert_pending (
  rule text not null,
  subject text not null,
  since timestamptz not null default clock_timestamp(),
  primary key (rule, subject)
);
comment on table realtime.alert_pending is 'Since when a measure has been above a threshold, while that is not yet as long as the rule wants';
