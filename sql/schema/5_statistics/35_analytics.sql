-- Analytics for operators: one view per level, and those of channels, countries and peak times. All times are UTC.

create or replace view realtime.analytics_minutes as
select t.at, coalesce(max(u.users), 0) + sum(t.users) as users, sum(t.sessions)::bigint as sessions, sum(t.sessions_ended)::bigint as sessions_ended,
       sum(t.session_seconds) as session_seconds, sum(t.connections) as connections, sum(t.messages_in)::bigint as messages_in,
       sum(t.messages_out)::bigint as messages_out, max(t.published) as published, max(t.channels) as channels
from realtime.usage_totals t left join realtime.usage_users u on u.bucket = 'minute' and u.at = t.at
where t.bucket = 'minute'
group by t.at;
comment on view realtime.analytics_minutes is 'What happened in each minute, over all nodes; no row: nothing. A node adds its sums once a minute';
comment on column realtime.analytics_minutes.at is 'the beginning of the minute';
comment on column realtime.analytics_minutes.users is
  'different users that were connected: exact below 1,024, above with a standard error of 3.1 %. Clients without a user id, and those that opted out, are not counted';
comment on column realtime.analytics_minutes.sessions is 'sessions (connections) that began';
comment on column realtime.analytics_minutes.sessions_ended is 'sessions that ended';
comment on column realtime.analytics_minutes.session_seconds is 'how long those that ended had lasted, in seconds altogether';
comment on column realtime.analytics_minutes.connections is 'the most connections at the same time; over several nodes the sum of each one''s most';
comment on column realtime.analytics_minutes.messages_in is 'messages that clients sent, whatever became of them';
comment on column realtime.analytics_minutes.messages_out is 'messages written to clients: events, answers and errors';
comment on column realtime.analytics_minutes.published is 'messages published in channels, by clients, REST and SQL, by the time of their commit';
comment on column realtime.analytics_minutes.channels is 'channels with a published message; beyond 4,096 at least so many';

create or replace view realtime.analytics_hours as
select t.at, t.users, t.sessions, t.sessions_ended, t.session_seconds, t.connections, t.messages_in, t.messages_out, t.published, t.channels
from realtime.usage_totals t where t.bucket = 'hour';
comment on view realtime.analytics_hours is 'What happened in each hour, over all nodes; no row: nothing. The present hour as of the last pass, which is at most ten minutes ago';
comment on column realtime.analytics_hours.at is 'the beginning of the hour';
comment on column realtime.analytics_hours.users is 'different users that were connected: see realtime.analytics_minutes';
comment on column realtime.analytics_hours.sessions is 'sessions that began';
comment on column realtime.analytics_hours.sessions_ended is 'sessions that ended';
comment on column realtime.analytics_hours.session_seconds is 'how long those that ended had lasted, in seconds altogether';
comment on column realtime.analytics_hours.connections is 'the most connections at the same time';
comment on column realtime.analytics_hours.messages_in is 'messages that clients sent';
comment on column realtime.analytics_hours.messages_out is 'messages written to clients';
comment on column realtime.analytics_hours.published is 'messages published in channels';
comment on column realtime.analytics_hours.channels is 'channels with a published message in the minute that had the most of them';

create or replace view realtime.analytics_days as
select t.at, t.users, t.sessions, t.sessions_ended, t.session_seconds, t.connections, t.messages_in, t.messages_out, t.published, t.channels
from realtime.usage_totals t where t.bucket = 'day';
comment on view realtime.analytics_days is 'What happened on each day (UTC), over all nodes; no row: nothing. The present day as of the last pass, which is at most ten minutes ago';
comment on column realtime.analytics_days.at is 'the beginning of the day';
comment on column realtime.analytics_days.users is 'different users that were connected: see realtime.analytics_minutes';
comment on column realtime.analytics_days.sessions is 'sessions that began';
comment on column realtime.analytics_days.sessions_ended is 'sessions that ended';
comment on column realtime.analytics_days.session_seconds is 'how long those that ended had lasted, in seconds altogether';
comment on column realtime.analytics_days.connections is 'the most connections at the same time';
comment on column realtime.analytics_days.messages_in is 'messages that clients sent';
comment on column realtime.analytics_days.messages_out is 'messages written to clients';
comment on column realtime.analytics_days.published is 'messages published in channels';
comment on column realtime.analytics_days.channels is 'channels with a published message in the minute that had the most of them';

create or replace function realtime.analytics_between(bucket text, from_at timestamptz, to_at timestamptz)
returns table (at timestamptz, users bigint, sessions bigint, sessions_ended bigint, session_seconds double precision, connections bigint,
               messages_in bigint, messages_out bigint, published bigint, channels integer)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select t.* from realtime.analytics_minutes t where bucket = 'minute' and t.at >= from_at and t.at < to_at
  union all
  select t.* from realtime.analytics_hours t where bucket = 'hour' and t.at >= from_at and t.at < to_at
  union all
  select t.* from realtime.analytics_days t where bucket = 'day' and t.at >= from_at and t.at < to_at
$$;
comment on function realtime.analytics_between(text, timestamptz, timestamptz) is
  'The rows of realtime.analytics_minutes, _hours or _days (bucket: minute, hour, day) from one time to another, without the latter';

create or replace view realtime.analytics_channels as
with listed as (
  select c.bucket, c.at, c.channel, max(c.messages) as messages, sum(c.subscribers) as subscribers
  from realtime.usage_channels c group by c.bucket, c.at, c.channel
)
select l.bucket, l.at, l.channel, l.messages, l.subscribers from listed l
union all
select t.bucket, t.at, null, t.published - coalesce(l.messages, 0), null
from (select o.bucket, o.at, max(o.published) as published from realtime.usage_totals o group by o.bucket, o.at) t
left join (select o.bucket, o.at, sum(o.messages)::bigint as messages from listed o group by o.bucket, o.at) l on l.bucket = t.bucket and l.at = t.at
where t.published > coalesce(l.messages, 0);
comment on view realtime.analytics_channels is 'The channels with the most messages and subscribers in each minute, hour and day; one row for all others';
comment on column realtime.analytics_channels.bucket is 'minute, hour or day';
comment on column realtime.analytics_channels.at is 'its beginning';
comment on column realtime.analytics_channels.channel is 'the channel; null: all that are not listed; private:*: all private ones, whose names can have ids of users';
comment on column realtime.analytics_channels.messages is 'messages published in it';
comment on column realtime.analytics_channels.subscribers is 'the most subscriptions to it at the end of a minute; null: of those that are not listed it is not known';

create or replace view realtime.analytics_countries as
select c.bucket, c.at, c.country, sum(c.sessions)::bigint as sessions
from realtime.usage_countries c group by c.bucket, c.at, c.country;
comment on view realtime.analytics_countries is 'Sessions that began in each minute, hour and day, by country';
comment on column realtime.analytics_countries.bucket is 'minute, hour or day';
comment on column realtime.analytics_countries.at is 'its beginning';
comment on column realtime.analytics_countries.country is 'ISO 3166-1, two letters; ZZ: not known';
comment on column realtime.analytics_countries.sessions is 'sessions that began';

create or replace view realtime.analytics_peaks as
select extract(isodow from t.at at time zone 'UTC')::integer as weekday, extract(hour from t.at at time zone 'UTC')::integer as hour, count(*) as hours,
       avg(t.users)::float8 as users, avg(t.connections)::float8 as connections, max(t.connections) as most_connections,
       avg(t.published)::float8 as published, avg(t.messages_out)::float8 as messages_out
from realtime.usage_totals t where t.bucket = 'hour'
group by 1, 2;
comment on view realtime.analytics_peaks is 'The hours of the week as they were on average, over all hours that are kept';
comment on column realtime.analytics_peaks.weekday is '1: Monday, 7: Sunday (UTC)';
comment on column realtime.analytics_peaks.hour is '0 to 23 (UTC)';
comment on column realtime.analytics_peaks.hours is 'how many such hours had anything; those without do not lower the averages';
comment on column realtime.analytics_peaks.users is 'different users of the hour, on average';
comment on column realtime.analytics_peaks.connections is 'the most connections at the same time, on average';
comment on column realtime.analytics_peaks.most_connections is 'the most connections at the same time in any of them';
comment on column realtime.analytics_peaks.published is 'messages published in channels, on average';
comment on column realtime.analytics_peaks.messages_out is 'messages written to clients, on average';
