-- name: list_connections
-- Connected clients, the longest connected first; null: whatever it is. channel: those whose presence is shown there.
select c.id, c.user_id as "user", c.node_id as node, c.transport, host(c.ip) as ip, c.connected_at, c.present_in as channels
from realtime.connection_list c
where (%(user)s::text is null or c.user_id = %(user)s::text)
  and (%(node)s::text is null or c.node_id = %(node)s::text)
  and (%(channel)s::text is null or %(channel)s::text = any (c.present_in))
order by c.connected_at, c.id
limit %(limit)s::int

-- name: list_channels
-- Channels whose name fits a pattern of LIKE, those with the most subscribers first.
select c.channel, c.room, c.subscribers, c.members, c.capacity, c.last_message_at
from realtime.stat_channels c
where c.channel like %(pattern)s::text
order by c.subscribers desc, c.channel
limit %(limit)s::int
