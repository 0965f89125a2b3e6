-- Functions are for everybody unless that is taken away. realtime_publisher gets what an application needs that uses channels by SQL: grant
-- it to the application's role. Nobody but the owner sees realtime.settings, writes to realtime.presence, or emits messages.
do $$
declare
  callable constant text[] := '{broadcast,broadcast_all,broadcast_users,broadcast_rooms,broadcast_changes,kick,disconnect,create_channel,update_channel,close_channel,history,epoch,name_matches,channel_rules}';
  one record;
begin
  for one in
    select p.oid::regprocedure as signature, p.proname::text as name
    from pg_catalog.pg_proc p where p.pronamespace = 'realtime'::regnamespace
  loop
    -- those of live queries are called by whoever owns the exposed table, and check privileges by what they do
    continue when one.name in ('expose', 'unexpose', 'identity_problem', 'watch_partitions', 'partition_truncated', 'note_ddl', 'collections_changed');
    execute format('revoke all on function %s from public', one.signature);
    if one.name = any (callable) then
      execute format('grant execute on function %s to realtime_publisher', one.signature);
    end if;
  end loop;
end
$$;

grant usage on schema realtime to realtime_publisher;
grant select on realtime.presence_now, realtime.connection_list, realtime.channel_list to realtime_publisher;
grant select on realtime.channels, realtime.channel_defaults, realtime.messages, realtime.connections, realtime.presence, realtime.last_seen,
  realtime.routes, realtime.preferences to realtime_publisher;
-- Not seq, inserted_at and xid: order and expiry depend on them. Rows inserted so are stored whatever the channel's settings say.
grant insert (channel, event, payload, sender, id, audience, priority) on realtime.messages to realtime_publisher;
grant delete on realtime.connections, realtime.messages to realtime_publisher;
grant insert, update, delete on realtime.routes, realtime.preferences to realtime_publisher;
