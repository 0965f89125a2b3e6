-- 10,000 connections of a node that is not there, and 1,000 rooms; a table for a live query; alerts, one of them open.
insert into realtime.nodes (id, host, pid, lease_expires_at, schema_version)
select name, 'elsewhere', 1, now() + interval '1 day', max(schema_version)
from realtime.nodes, unnest(array['seeded', 'relayed', 'relayed_1']) name  -- a relay, and the worker that makes it one
group by name;

insert into realtime.connections (id, node_id, user_id, transport, ip, connected_at)
select 'seeded-' || lpad(n::text, 5, '0'), 'seeded', case when n % 5 > 0 then 'user-' || n end, 'websocket',
       ('10.0.' || n / 256 || '.' || n % 256)::inet, now() - n * interval '1 second'
from generate_series(1, 10000) n;

insert into realtime.channels (name) select 'seeded:room-' || lpad(n::text, 4, '0') from generate_series(1, 1000) n;
select realtime.create_channel('chat:to-be-closed', capacity => 5);

create table dashboard_notes (id int primary key, kind text not null);
insert into dashboard_notes select n, 'kind ' || n % 3 from generate_series(1, 9) n;
select realtime.expose('dashboard_notes');

insert into realtime.alerts (rule, measure, subject, severity, value, threshold, description, raised_at, cleared_at, cleared_because) values
  ('slow_delivery', 'delivery_seconds', 'seeded', 'warning', 1.5, 1, 'Look at the stages.', now() - interval '2 hours', now() - interval '1 hour', 'measure'),
  ('many_errors', 'error_share', 'seeded', 'warning', 0.12, 0.05, 'Look at the codes.', now() - interval '10 minutes', null, null);

insert into realtime.usage_totals (bucket, at, users, sessions, sessions_ended, session_seconds, connections, messages_out, published, channels)
select 'hour', date_trunc('hour', now(), 'UTC') - n * interval '1 hour', 40 + n % 7, 90 + n, 80 + n, (80 + n) * 300.0, 30 + n % 11, 9000 + n, 800 + n, 12
from generate_series(0, 200) n
on conflict do nothing;  -- of this hour the server may have a row already
insert into realtime.usage_channels (bucket, at, channel, messages, subscribers)
select 'hour', date_trunc('hour', now(), 'UTC') - n * interval '1 hour', 'chat:lounge', 500, 20 from generate_series(1, 20) n;
insert into realtime.usage_countries (bucket, at, country, sessions)
select 'hour', date_trunc('hour', now(), 'UTC') - interval '2 hours', country, sessions from (values ('AT', 30), ('ZZ', 5)) c (country, sessions);
