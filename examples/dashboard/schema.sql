-- Live dashboard: requests of three services, what is measured of them, and alerts where a threshold is passed.

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
create unique index if not exists alerts_open on dashboard.alerts (service) where cleared_at is null;

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

-- What the back end may do.
grant usage on schema dashboard to examples;
grant select on dashboard.thresholds to examples;
grant select, insert, delete on dashboard.requests to examples;
grant select, insert, update on dashboard.alerts to examples;

-- What clients may see.
grant usage on schema dashboard to authenticated;
grant select on dashboard.requests, dashboard.thresholds, dashboard.alerts to authenticated;
select realtime.expose('dashboard.requests', name => 'requests');
select realtime.expose('dashboard.thresholds', name => 'thresholds');
select realtime.expose('dashboard.alerts', name => 'alerts', camel_case => true);
