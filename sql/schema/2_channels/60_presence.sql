-- The end of connections, and functions that end them. Presence rows refer to connections, connections to nodes: deleting a node's row deletes its members.

create or replace function realtime.presence_removed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into realtime.last_seen as l (user_id, channel, at)
  select r.user_id, r.channel, max(coalesce(r.left_at, clock_timestamp())) from removed r group by 1, 2 order by 1, 2
  on conflict on constraint last_seen_pkey do update set at = greatest(l.at, excluded.at);
  return null;
end
$$;
comment on function realtime.presence_removed() is 'Trigger function: writes to realtime.last_seen when the removed members were last in their channels';

create or replace function realtime.node_removed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  -- Before the rows are deleted: if the node still runs, its clients reconnect, unlike a client whose connection was deleted on purpose.
  perform realtime.emit('realtime.command', jsonb_build_object('command', 'node_removed', 'node', old.id));
  -- All at once, so that realtime.last_seen is written in one order: the cascade would go connection by connection, and two nodes
  -- removed at the same moment could wait for each other.
  delete from realtime.presence p using realtime.connections c where c.id = p.connection_id and c.node_id = old.id;
  if old.schema_version is not null and old.lease_expires_at < clock_timestamp() then  -- another node removes it: it did not stop by itself
    insert into realtime.lost_nodes (id) values (old.id) on conflict (id) do update set lost_at = clock_timestamp();
  end if;
  return old;
end
$$;
comment on function realtime.node_removed() is 'Trigger function: announces that a node is removed, deletes the presence of its connections in one order, and keeps a note of a node that was lost';

create or replace function realtime.kick(channel text, user_id text, reason text default null) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  present integer;
  kicked uuid;
begin
  delete from realtime.presence p where p.channel = kick.channel and p.user_id = kick.user_id;
  get diagnostics present = row_count;
  if num_nulls(channel, user_id) = 0 then  -- else no one is meant
    insert into realtime.kicks (channel, user_id, reason) values (kick.channel, kick.user_id, kick.reason) returning id into kicked;
  end if;
  perform realtime.emit('realtime.command',
    jsonb_build_object('command', 'kick', 'id', kicked, 'channel', channel, 'user_id', user_id, 'reason', reason));
  return present;
end
$$;
comment on function realtime.kick(text, text, text) is
  'End a user''s subscriptions to a channel, on every connection and node. The connections live on. Returns how many connections of '
  'the user were present there';

create or replace function realtime.disconnect(connection_id text default null, user_id text default null) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  ids text[];
begin
  if num_nonnulls(connection_id, user_id) <> 1 then
    raise exception 'give a connection or a user: realtime.disconnect(''id'') or realtime.disconnect(user_id => ''id'')'
      using errcode = 'RT007';
  end if;
  ids := array(select c.id from realtime.connections c
               where c.id = disconnect.connection_id or c.user_id = disconnect.user_id order by c.id for update);
  delete from realtime.presence p where p.connection_id = any (ids);
  delete from realtime.connections c where c.id = any (ids);
  return cardinality(ids);
end
$$;
comment on function realtime.disconnect(text, text) is
  'Disconnect one connection, or all of a user, on whichever node they are. Their presence ends at once. Returns how many there were';
