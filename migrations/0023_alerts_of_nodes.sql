-- What the rules about errors and disconnects measure: failures of the node, and WebSockets. A description that was changed stays.
update realtime.alert_rules
set description = 'The database cannot be reached, is overloaded or read-only, or the node failed: see /health and the log.'
where name = 'many_errors'
  and description = 'realtime_errors_total by code shows which; RT_001 points at the database, RT_003 at rules, RT_006 at limits.';

comment on column realtime.alert_rules.measure is
  'of each node: connection_share (of its capacity), error_share (failures of the node, RT_001, as a share of the messages from clients in five minutes), delivery_seconds (commit to written, p95 of five minutes), disconnect_share (broken WebSockets among those that ended in five minutes), node_unhealthy (1: degraded, or gone without a stop); of each slot: slot_lag_bytes, slot_retained_bytes, slot_lost (1: lost or missing)';
