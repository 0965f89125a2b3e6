-- name: alerts_judge
select realtime.judge_alerts(%(node)s, %(measures)s::text[], %(values)s::float8[]) as changed

-- name: alerts_claim
-- One notice that is due. The time of its next attempt is set before it is sent, so that no other node sends it meanwhile, and another one
-- does if this node does not come back: five seconds, twice as many each time, a quarter of an hour at most. After a day it is given up.
update realtime.alert_notices n
set attempts = n.attempts + 1,
    next_attempt_at = clock_timestamp() + least(interval '15 minutes', interval '5 seconds' * 2 ^ least(n.attempts, 10)) * (0.75 + random() / 2)
from (
  select d.alert_id, d.event from realtime.alert_notices d join realtime.alerts o on o.id = d.alert_id
  where d.delivered_at is null and d.next_attempt_at <= clock_timestamp()
    and (case d.event when 'alert.raised' then o.raised_at else o.cleared_at end) > clock_timestamp() - interval '1 day'
  order by d.next_attempt_at limit 1 for update of d skip locked
) due
join realtime.alerts a on a.id = due.alert_id
where n.alert_id = due.alert_id and n.event = due.event
returning n.alert_id, n.event, n.attempts, to_jsonb(a) as alert

-- name: alerts_delivered
update realtime.alert_notices set delivered_at = clock_timestamp(), error = null where alert_id = %(alert)s and event = %(event)s

-- name: alerts_not_delivered
update realtime.alert_notices set error = left(%(error)s, 1000) where alert_id = %(alert)s and event = %(event)s
