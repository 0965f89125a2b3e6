-- Those that announce something fire always: an apply worker, and tools like AWS DMS, write with session_replication_role = replica. Those that
-- check rows do not: such rows were checked where they were first written, and refusing one would stop the subscription that brings it.

select realtime.keep_trigger('realtime.collections', 'collections_changed', 'A',
  'CREATE TRIGGER collections_changed AFTER INSERT OR DELETE OR UPDATE ON realtime.collections FOR EACH ROW EXECUTE FUNCTION realtime.collections_changed()');
select realtime.keep_trigger('realtime.presence', 'presence_removed', 'A',
  'CREATE TRIGGER presence_removed AFTER DELETE ON realtime.presence REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION realtime.presence_removed()');
select realtime.keep_occupancy();
select realtime.keep_trigger('realtime.nodes', 'node_removed', 'A',
  'CREATE TRIGGER node_removed BEFORE DELETE ON realtime.nodes FOR EACH ROW EXECUTE FUNCTION realtime.node_removed()');

select realtime.keep_trigger('realtime.alerts', 'broadcast_alert', 'O',
  'CREATE TRIGGER broadcast_alert AFTER INSERT OR UPDATE OF cleared_at ON realtime.alerts FOR EACH ROW EXECUTE FUNCTION realtime.broadcast_alert()');

select realtime.keep_trigger('realtime.channels', 'check_channel', 'O',
  'CREATE TRIGGER check_channel BEFORE INSERT OR UPDATE ON realtime.channels FOR EACH ROW EXECUTE FUNCTION realtime.check_channel()');
select realtime.keep_trigger('realtime.channel_defaults', 'check_default', 'O',
  'CREATE TRIGGER check_default BEFORE INSERT OR UPDATE ON realtime.channel_defaults FOR EACH ROW EXECUTE FUNCTION realtime.check_default()');
-- realtime.settings.max_payload is at least 1024, so small messages need not ask for it.
select realtime.keep_trigger('realtime.messages', 'check_size', 'O',
  'CREATE TRIGGER check_size BEFORE INSERT ON realtime.messages FOR EACH ROW WHEN ((octet_length((new.payload)::text) > 1024)) EXECUTE FUNCTION realtime.check_size()');
-- The last of its kind by name: history finds a message by its transaction, so no trigger of others may change that.
select realtime.keep_trigger('realtime.messages', 'zzz_own_xid', 'O',
  'CREATE TRIGGER zzz_own_xid BEFORE INSERT ON realtime.messages FOR EACH ROW WHEN ((new.xid <> pg_current_xact_id())) EXECUTE FUNCTION realtime.take_local_xid()');
select realtime.keep_trigger('realtime.routes', 'check_route', 'O',
  'CREATE TRIGGER check_route BEFORE INSERT OR UPDATE ON realtime.routes FOR EACH ROW EXECUTE FUNCTION realtime.check_route()');
select realtime.keep_trigger('realtime.content_policies', 'check_content_policy', 'O',
  'CREATE TRIGGER check_content_policy BEFORE INSERT OR UPDATE ON realtime.content_policies FOR EACH ROW EXECUTE FUNCTION realtime.check_content_policy()');
select realtime.keep_trigger('realtime.rules', 'check_rule', 'O',
  'CREATE TRIGGER check_rule BEFORE INSERT OR UPDATE ON realtime.rules FOR EACH ROW EXECUTE FUNCTION realtime.check_rule()');

-- What another cluster records of itself is not for this one (sql/schema/3_history/40_replicated_rows.sql). Rows of nodes and connections that go there go here, too.
select realtime.keep_trigger(format('realtime.%I', t.name)::regclass, 'skip_replicated', 'R', format(
  'CREATE TRIGGER skip_replicated BEFORE INSERT OR DELETE OR UPDATE ON realtime.%I FOR EACH ROW EXECUTE FUNCTION realtime.skip_replicated()', t.name))
from unnest('{settings,epochs,commits,expired,dropped_days,slots,changed_identities,made_grants}'::text[]) t (name);
select realtime.keep_trigger(format('realtime.%I', t.name)::regclass, 'skip_replicated', 'R', format(
  'CREATE TRIGGER skip_replicated BEFORE INSERT OR UPDATE ON realtime.%I FOR EACH ROW EXECUTE FUNCTION realtime.skip_replicated()', t.name))
from unnest('{nodes,connections,presence}'::text[]) t (name);
select realtime.keep_trigger(format('realtime.%I', t.name)::regclass, 'take_local_xid', 'R', format(
  'CREATE TRIGGER take_local_xid BEFORE INSERT ON realtime.%I FOR EACH ROW EXECUTE FUNCTION realtime.take_local_xid()', t.name))
from unnest('{messages,message_ids}'::text[]) t (name);

do $$
declare
  wanted record;
begin
  for wanted in
    select w.name, w.event, t.oid is null or t.evtfoid <> 'realtime.note_ddl()'::regprocedure or t.evtevent <> w.event as missing
    from (values ('realtime_ddl_end', 'ddl_command_end'), ('realtime_ddl_drop', 'sql_drop')) w (name, event)
    left join pg_catalog.pg_event_trigger t on t.evtname = w.name
    where t.evtenabled is distinct from 'A' or t.evtfoid <> 'realtime.note_ddl()'::regprocedure or t.evtevent <> w.event
  loop
    if wanted.missing then
      execute format('drop event trigger if exists %I', wanted.name);
      execute format('create event trigger %I on %I execute function realtime.note_ddl()', wanted.name, wanted.event);
    end if;
    execute format('alter event trigger %I enable always', wanted.name);
    raise info 'made or enabled the event trigger %', wanted.name;
  end loop;
exception when insufficient_privilege then
  raise warning 'realtime: no privilege to create or enable event triggers; DDL on exposed tables is noticed within 10 s or at their next row change';
end
$$;
