-- Alerts are raised and cleared by one statement for all measures of a pass; the unique index over open alerts makes each of them once,
-- whichever nodes measure.

create or replace function realtime.shared_measures() returns table (measure text, subject text, value double precision)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select 'node_unhealthy', n.node, case when n.state in ('expired', 'degraded') then 1 else 0 end::double precision
  from realtime.stat_nodes n where n.state <> 'stopped'
  union all
  select 'node_unhealthy', l.id, 1
  from realtime.lost_nodes l
  where l.lost_at > clock_timestamp() - interval '1 day' and not exists (select from realtime.nodes n where n.id = l.id)
  union all
  select m.measure, s.slot, m.value
  from realtime.stat_slots s
  cross join lateral (values
    ('slot_lag_bytes', s.lag_bytes::double precision),
    ('slot_retained_bytes', s.retained_bytes::double precision),
    -- A slot that its node is about to make for the first time is not lost: that waits for all open transactions.
    ('slot_lost', case when s.wal_status = 'lost' or s.wal_status = 'missing' and not exists (
        select from realtime.slots o join realtime.stat_nodes n on n.node = o.node
        where o.name = s.slot and n.started_at <= o.created_at and (n.state = 'starting'
          or n.state = 'relay' and not exists (select from realtime.nodes w where starts_with(w.id, n.node || '_')))) then 1 else 0 end::double precision)
  ) m (measure, value)
  where s.own and m.value is not null
$$;
comment on function realtime.shared_measures() is 'The measures of nodes and slots that any node can take, for realtime.judge_alerts()';

create or replace function realtime.judge_alerts(node_id text, measures text[], vals double precision[]) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  -- One node takes the measures that any of them could take: of those that write figures, which the relay of workers does not.
  first boolean := judge_alerts.node_id = (
    select coalesce(min(n.id) filter (where exists (select from realtime.node_stats s where s.node_id = n.id)), min(n.id))
    from realtime.nodes n where n.schema_version is not null and n.lease_expires_at >= clock_timestamp());
  changed integer;
begin
  with measured as materialized (
    select r.name as rule, r.measure, m.subject, r.severity, m.value, r.threshold, r.description, r.hold,
           m.value > r.threshold as above, m.value > coalesce(r.clear_at, r.threshold) as stays
    from (
      select o.measure, judge_alerts.node_id as subject, o.value from unnest(judge_alerts.measures, judge_alerts.vals) o (measure, value)
      union all
      select s.measure, s.subject, s.value from realtime.shared_measures() s where first
    ) m
    join realtime.alert_rules r on r.measure = m.measure and r.enabled
  ), there as materialized (
    -- Also those whose lease has expired: after an outage of the database that is every node. One that is gone is removed by another.
    select n.id as subject from realtime.nodes n where n.schema_version is not null
  ), begun as (
    insert into realtime.alert_pending (rule, subject)
    select m.rule, m.subject from measured m where m.above and m.hold > '0'
    on conflict do nothing
  ), ended as (
    delete from realtime.alert_pending p
    where exists (select from measured m where m.rule = p.rule and m.subject = p.subject and not m.above)
       or first and not exists (select from there n where n.subject = p.subject)
          and not exists (select from measured m where m.rule = p.rule and m.subject = p.subject)
  ), raised as (
    insert into realtime.alerts (rule, measure, subject, severity, value, threshold, description)
    select m.rule, m.measure, m.subject, m.severity, m.value, m.threshold, m.description
    from measured m
    where m.above and (m.hold = '0' or exists (
      select from realtime.alert_pending p where p.rule = m.rule and p.subject = m.subject and p.since <= clock_timestamp() - m.hold))
    on conflict (rule, subject) where cleared_at is null do nothing
    returning id
  ), cleared as (
    update realtime.alerts a set cleared_at = clock_timestamp(), cleared_because = c.because
    from (
      select o.id, case
        when not exists (select from realtime.alert_rules r where r.name = o.rule and r.measure = o.measure and r.enabled) then 'rule'
        when exists (select from measured m where m.rule = o.rule and m.subject = o.subject and not m.stays) then 'measure'
        -- A node that is there measures itself; what is shared was measured in this pass, if it is there.
        when first and not exists (select from measured m where m.rule = o.rule and m.subject = o.subject)
          and (o.measure = 'node_unhealthy' or o.measure like 'slot\_%' or not exists (select from there n where n.subject = o.subject))
          then 'subject'
      end as because
      from realtime.alerts o where o.cleared_at is null
    ) c
    where a.id = c.id and a.cleared_at is null and c.because is not null
    returning a.id
  ), noticed as (
    insert into realtime.alert_notices (alert_id, event)
    select r.id, 'alert.raised' from raised r union all select c.id, 'alert.cleared' from cleared c
    on conflict do nothing
    returning 1
  )
  select count(*) into changed from noticed;
  if first then
    delete from realtime.lost_nodes l
    where l.lost_at < clock_timestamp() - interval '1 day' or exists (select from realtime.nodes n where n.id = l.id);
    delete from realtime.alerts a where a.raised_at < clock_timestamp() - interval '90 days' and a.cleared_at < clock_timestamp() - interval '90 days';
  end if;
  return changed;
end
$$;
comment on function realtime.judge_alerts(text, text[], double precision[]) is
  'Compares measures of a node, and those of all nodes and slots if it is the first of the running ones, with realtime.alert_rules; raises and clears alerts. How many it raised and cleared. For nodes';

create or replace function realtime.update_alert_rule(name text, changes jsonb) returns setof realtime.alert_rules
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  unknown text;
begin
  if update_alert_rule.changes is null or jsonb_typeof(update_alert_rule.changes) <> 'object' then
    raise exception 'the changes are a JSON object of fields, not %', coalesce(left(update_alert_rule.changes::text, 40), 'null')
      using errcode = 'RT007';
  end if;
  select string_agg(quote_literal(key), ', ') into unknown
  from jsonb_object_keys(update_alert_rule.changes) key
  where key not in ('threshold', 'clear_at', 'hold', 'severity', 'enabled', 'description');
  if unknown is not null then
    raise exception 'a rule of alerts has no field % that can be changed', unknown using errcode = 'RT007',
      hint = 'threshold, clear_at, hold, severity, enabled, description';
  end if;
  begin
    return query
      update realtime.alert_rules r
      set (threshold, clear_at, hold, severity, enabled, description) = (
        select n.threshold, n.clear_at, n.hold, n.severity, n.enabled, n.description
        from jsonb_populate_record(r, update_alert_rule.changes) n)
      where r.name = update_alert_rule.name
      returning r.*;
  exception when data_exception or check_violation or not_null_violation then
    raise exception 'not a value for a rule of alerts: %', sqlerrm using errcode = 'RT007';
  end;
end
$$;
comment on function realtime.update_alert_rule(text, jsonb) is
  'Changes a rule of alerts: threshold, clear_at, hold, severity, enabled, description; what is not mentioned stays. Returns the rule; no row: there is none of that name';

create or replace function realtime.update_alert_rule(name text, changes json) returns setof realtime.alert_rules
language sql set search_path = pg_catalog, pg_temp as $$ select * from realtime.update_alert_rule(name, changes::jsonb) $$;
comment on function realtime.update_alert_rule(text, json) is 'The same with changes of type json';

create or replace function realtime.update_alert_rule(name text, changes text) returns setof realtime.alert_rules
language sql set search_path = pg_catalog, pg_temp as $$ select * from realtime.update_alert_rule(name, changes::jsonb) $$;
comment on function realtime.update_alert_rule(text, text) is 'The same with changes of type text';

create or replace function realtime.announce_alerts() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  waiting record;
begin
  for waiting in
    select n.alert_id, n.event, to_jsonb(a) as alert
    from realtime.alert_notices n join realtime.alerts a on a.id = n.alert_id
    where not n.announced order by n.alert_id, n.event desc limit 100 for update of n skip locked
  loop
    begin
      perform realtime.broadcast('admin:alerts', waiting.event, waiting.alert);
    exception
      when lock_not_available or deadlock_detected then
        raise warning 'alerts are broadcast later: %', sqlerrm;
        return;
      when others then
        raise warning 'an alert was not broadcast: %', sqlerrm;
    end;
    update realtime.alert_notices n set announced = true where n.alert_id = waiting.alert_id and n.event = waiting.event;
  end loop;
end
$$;
comment on function realtime.announce_alerts() is 'Broadcasts the alerts for which a lock was not to be had when they were raised or cleared. For nodes';

create or replace function realtime.broadcast_alert() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  change text := case when new.cleared_at is null then 'alert.raised' else 'alert.cleared' end;
begin
  -- That an alert was cleared is sent behind that it was raised.
  if exists (select from realtime.alert_notices n where n.alert_id = new.id and not n.announced) then
    update realtime.alert_notices n set announced = false where n.alert_id = new.id and n.event = change;
    return null;
  end if;
  begin
    perform realtime.broadcast('admin:alerts', change, to_jsonb(new));
  exception
    when lock_not_available or deadlock_detected then  -- the messages are locked for the moment: see announce_alerts()
      update realtime.alert_notices n set announced = false where n.alert_id = new.id and n.event = change;
      raise warning 'an alert is broadcast later: %', sqlerrm;
    when others then  -- an alert is not lost because a channel is closed
      raise warning 'an alert was not broadcast: %', sqlerrm;
  end;
  return null;
end
$$;
comment on function realtime.broadcast_alert() is 'Trigger: sends an alert that is raised or cleared to the channel admin:alerts';
