-- Views of the present state: presence, connections, channels.

create or replace view realtime.presence_now as
select p.channel, p.user_id, p.metadata ->> 'name' as name, p.metadata, p.state, p.typing_until is not null as typing,
       p.connected, p.joined_at, p.connections, l.at as last_seen
from (
  select distinct on (p.channel, p.user_id) p.channel, p.user_id, p.metadata, p.state, p.typing_until,
         p.left_at is null as connected,
         min(p.joined_at) over w as joined_at,
         count(*) filter (where p.left_at is null) over w as connections
  from realtime.presence p
  window w as (partition by p.channel, p.user_id)
  order by p.channel, p.user_id, p.left_at is null desc, p.updated_at desc, p.connection_id collate "C" desc
) p
left join realtime.last_seen l on l.user_id = p.user_id and l.channel = p.channel;
comment on view realtime.presence_now is
  'Present users: one row per channel and user, as the other members see it. connected false: all connections broke, and the user may still come '
  'back within the presence_timeout; last_seen: when the user was here the last time before';

create or replace view realtime.connection_list as
select c.id, c.user_id, c.node_id, c.transport, c.ip, c.connected_at, c.attributes, c.metadata,
       array(select p.channel from realtime.presence p where p.connection_id = c.id order by 1) as present_in
from realtime.connections c
where c.dropped_at is null;
comment on view realtime.connection_list is 'Connected clients, with the channels in which others see them';

create or replace view realtime.channel_list as
select coalesce(c.name, p.channel) as name, c.name is not null as room, c.metadata, c.permissions, c.capacity,
       coalesce(p.users, 0) as users, coalesce(p.connections, 0) as connections, c.history, c.ttl, c.max_messages, c.presence_timeout,
       c.typing_timeout, c.created_by, c.created_at, c.updated_at, c.closed_at
from realtime.channels c
full join (
  select channel, count(distinct user_id) as users, count(*) as connections from realtime.presence group by channel
) p on p.channel = c.name;
comment on view realtime.channel_list is 'Rooms, open and closed, and the other channels with presence, with the number of users present';
