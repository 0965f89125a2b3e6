-- Live dashboard: requests of three services, what is measured of them, alerts where a threshold is passed, and what has happened.

create schema if not exists dashboard;

create table if not exists dashboard.requests (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  service text not null,
  milliseconds integer not null check (milliseconds >= 0),
  ok boolean not null
);
create index if not exists requests_at on dashboard.requests (at);

create table if not exists dashboard.thresholds (
  service text primary key,
  milliseconds integer not null
);
insert into dashboard.thresholds values ('checkout', 400), ('search', 300), ('catalog', 300) on conflict do nothing;

-- An alert is open until the service is below its threshold again.
create table if not exists dashboard.alerts (
  id bigint generated always as identity primary key,
  service text not null,
  milliseconds integer not null,
  raised_at timestamptz not null default now(),
  cleared_at timestamptz
);
alter table dashboard.alerts add column if not exists taken_by text;
create unique index if not exists alerts_open on dashboard.alerts (service) where cleared_at is null;

-- What has happened, and who did it: a user or a service.
create table if not exists dashboard.activity (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  actor text not null,
  body text not null
);

-- Each change of an alert is activity, and a new one is a message to all who watch: in the transaction that it is about.
create or replace function dashboard.report() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into dashboard.activity (actor, body) values (new.service, format('is slow: %s ms', new.milliseconds));
    perform realtime.broadcast('dashboard:alerts', 'raised',
                               jsonb_build_object('service', new.service, 'milliseconds', new.milliseconds));
  elsif new.cleared_at is distinct from old.cleared_at then
    insert into dashboard.activity (actor, body) values (new.service, 'is back to normal');
  elsif new.taken_by is distinct from old.taken_by then
    insert into dashboard.activity (actor, body)
    values (coalesce(new.taken_by, old.taken_by),
            format(case when new.taken_by is null then 'gave back the alert of %s' else 'took the alert of %s' end, new.service));
  end if;
  return null;
end
$$;
create or replace trigger report after insert or update on dashboard.alerts
  for each row execute function dashboard.report();

-- After each statement that writes requests, in the same transaction: the last twenty requests of each service decide.
create or replace function dashboard.judge() returns trigger language plpgsql as $$
begin
  with recent as (
    select t.service, t.milliseconds as threshold,
           (select avg(r.milliseconds)::int
            from (select milliseconds from dashboard.requests where service = t.service order by id desc limit 20) r) as mean
    from dashboard.thresholds t
  ), cleared as (
    update dashboard.alerts a set cleared_at = now() from recent
    where a.service = recent.service and a.cleared_at is null and recent.mean <= recent.threshold
  )
  insert into dashboard.alerts (service, milliseconds)
  select service, mean from recent where mean > threshold
  on conflict (service) where cleared_at is null do nothing;
  return null;
end
$$;
create or replace trigger judge after insert on dashboard.requests
  for each statement execute function dashboard.judge();

-- The simulator: one call is one second of requests. It can be run from psql, too:
--   select dashboard.simulate('psql', '{"slow": false}') \watch 1
create or replace function dashboard.simulate(uid text, args jsonb) returns void language sql as $$
  delete from dashboard.requests where at < now() - interval '10 minutes';
  insert into dashboard.requests (service, milliseconds, ok)
  select service,
         (40 + random() * 160)::int + case when service = 'checkout' and (args ->> 'slow')::boolean then 600 else 0 end,
         random() > case when service = 'checkout' and (args ->> 'slow')::boolean then 0.2 else 0.01 end
  from unnest(array['checkout', 'search', 'catalog']) service, generate_series(1, 8 + (random() * 8)::int);
$$;

-- Take an open alert, or give it back. It stays with the user who has it.
create or replace function dashboard.take(uid text, args jsonb) returns void language plpgsql as $$
begin
  update dashboard.alerts set taken_by = case when (args ->> 'take')::boolean then uid end
  where id = (args ->> 'id')::bigint and cleared_at is null and coalesce(taken_by, uid) = uid;
  if not found then
    raise exception 'Another user has this alert, or it has ended.';
  end if;
end
$$;

create or replace function dashboard.log(uid text, args jsonb) returns void language plpgsql as $$
begin
  if args ->> 'event' is null or args ->> 'event' not in ('started', 'stopped') then
    raise exception 'There is no such event.';
  end if;
  insert into dashboard.activity (actor, body) values (uid, format('%s the simulator', args ->> 'event'));
  delete from dashboard.activity where at < now() - interval '1 day';
end
$$;

-- What the back end may do.
grant usage on schema dashboard to examples;
grant select on dashboard.thresholds to examples;
grant select, insert, delete on dashboard.requests, dashboard.activity to examples;
grant select, insert, update on dashboard.alerts to examples;

-- What clients may see.
grant usage on schema dashboard to authenticated;
grant select on dashboard.requests, dashboard.thresholds, dashboard.alerts, dashboard.activity to authenticated;
select realtime.expose('dashboard.requests', name => 'requests');
select realtime.expose('dashboard.thresholds', name => 'thresholds');
select realtime.expose('dashboard.alerts', name => 'alerts', camel_case => true);
select realtime.expose('dashboard.activity', name => 'activity');

-- Who may use the channel: users receive alerts and are present. What is published comes from the trigger alone.
select realtime.set_rules('{
  "channel": "dashboard:alerts",
  "rules": {"subscribe": "auth.uid != null", "presence": "auth.uid != null", "publish": false}
}');
