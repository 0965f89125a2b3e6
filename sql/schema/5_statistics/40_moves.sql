-- Orders to move clients from a node to others.

create or replace function realtime.move_clients(node text, share double precision default 0.1, seconds double precision default 10) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  made bigint;
begin
  if not exists (select from realtime.nodes n where n.id = node and n.schema_version is not null and n.lease_expires_at > clock_timestamp()) then
    raise exception 'there is no running node %', quote_literal(node) using errcode = 'no_data_found', hint = 'select node from realtime.stat_nodes';
  end if;
  delete from realtime.moves m where m.requested_at < clock_timestamp() - interval '1 day';
  insert into realtime.moves (node_id, share, seconds) values (node, move_clients.share, move_clients.seconds) returning id into made;
  return made;
end
$$;
comment on function realtime.move_clients(text, double precision, double precision) is
  'Have a node ask a share of its clients to connect again within so many seconds; they come to whichever node the load balancer chooses, and miss nothing. Returns the id in realtime.moves';
