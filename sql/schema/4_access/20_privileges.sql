-- The privileges that each purpose needs. One list, read by the grants of each migrate and by `realtime doctor`.

create or replace function realtime.privileges_for(purpose text)
returns table (kind text, object text, columns text, privilege text)
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- publish: for an application that uses channels by SQL. Only the owner sees realtime.settings, writes to realtime.presence
  -- and emits messages. Not seq, inserted_at and xid of realtime.messages: order and expiry depend on them.
  select w.* from (values
    ('schema', 'realtime', null, 'USAGE'),
    ('table', 'realtime.presence_now', null, 'SELECT'),
    ('table', 'realtime.connection_list', null, 'SELECT'),
    ('table', 'realtime.channel_list', null, 'SELECT'),
    ('table', 'realtime.channels', null, 'SELECT'),
    ('table', 'realtime.channel_defaults', null, 'SELECT'),
    ('table', 'realtime.presence', null, 'SELECT'),
    ('table', 'realtime.last_seen', null, 'SELECT'),
    ('table', 'realtime.messages', null, 'SELECT, DELETE'),
    ('table', 'realtime.messages', 'channel, event, payload, sender, id, audience, priority', 'INSERT'),
    ('table', 'realtime.connections', null, 'SELECT, DELETE'),
    ('table', 'realtime.routes', null, 'SELECT, INSERT, UPDATE, DELETE'),
    ('table', 'realtime.preferences', null, 'SELECT, INSERT, UPDATE, DELETE')
  ) w (kind, object, columns, privilege) where purpose = 'publish'
  union all
  -- By signature: another function that gets the name of one of these is not for publishers.
  select 'function', 'realtime.' || w.signature, null, 'EXECUTE'
  from (
    values ('position()'), ('broadcast_changes()'), ('kick(text,text,text)'), ('disconnect(text,text)'),
      ('close_channel(text)'), ('history(text,text,integer)'), ('epoch()'),
      ('payload_of(text)'), ('payload_of(json)'), ('payload_of(anyelement)'), ('name_matches(text,text)'), ('channel_rules(text[])')
    union all
    select format(s.signature, payload)
    from unnest('{jsonb,json,text,anyelement}'::text[]) payload, (
      values ('broadcast(text,text,%s,text,text,jsonb,integer)'), ('broadcast_all(text,%s,text,jsonb,integer)'),
        ('broadcast_users(text[],text,%s,text,jsonb,integer)'), ('broadcast_rooms(text[],text,%s,text,jsonb,integer)'),
        ('annotate(%s)'), ('update_channel(text,%s)')) s (signature)
    union all
    select format('create_channel(text,%s,%s,integer,boolean,interval,integer,interval,interval,text)', metadata, permissions)
    from unnest('{jsonb,json,text}'::text[]) metadata, unnest('{jsonb,json,text}'::text[]) permissions
  ) w (signature)
  where purpose = 'publish' and to_regprocedure('realtime.' || w.signature) is not null
  union all
  -- sessions: for an application that logs users in and out. Not part of publish: it decides whose tokens count.
  select w.* from (values
    ('schema', 'realtime', null, 'USAGE'),
    ('table', 'realtime.sessions', null, 'SELECT, INSERT, UPDATE, DELETE'),
    ('function', 'realtime.revoke_session(text,text)', null, 'EXECUTE'),
    ('function', 'realtime.revoke_user_sessions(text,text,text)', null, 'EXECUTE')
  ) w (kind, object, columns, privilege) where purpose = 'sessions'
  union all
  -- monitor: pg_monitor has it, so every tool that may watch PostgreSQL may watch this, too.
  select w.* from (values
    ('schema', 'realtime', null, 'USAGE'),
    ('table', 'realtime.stat_nodes', null, 'SELECT'),
    ('table', 'realtime.stat_slots', null, 'SELECT'),
    ('table', 'realtime.stat_channels', null, 'SELECT'),
    ('table', 'realtime.stat_queries', null, 'SELECT'),
    ('table', 'realtime.stat_latency', null, 'SELECT'),
    ('table', 'realtime.alerts', null, 'SELECT'),
    ('table', 'realtime.alert_rules', null, 'SELECT'),
    ('table', 'realtime.alert_notices', null, 'SELECT'),
    ('table', 'realtime.analytics_minutes', null, 'SELECT'),
    ('table', 'realtime.analytics_hours', null, 'SELECT'),
    ('table', 'realtime.analytics_days', null, 'SELECT'),
    ('table', 'realtime.analytics_channels', null, 'SELECT'),
    ('table', 'realtime.analytics_countries', null, 'SELECT'),
    ('table', 'realtime.analytics_peaks', null, 'SELECT')
  ) w (kind, object, columns, privilege) where purpose = 'monitor'
  union all
  -- serve: the whole schema, as far as functions do not do the writing.
  select 'schema', 'realtime', null, 'USAGE' where purpose = 'serve'
  union all
  select 'table', c.oid::regclass::text, null,
         case when c.relkind = 'v' or c.relname = any ('{collections,migrations,server_roles,settings,channels,channel_defaults,epochs,expired,
                                                        last_seen,dropped_days,content_policies,rules,api_keys,alert_rules,occupancy,kicks}')
              then 'SELECT' when c.relname = 'sessions' then 'SELECT, UPDATE' else 'SELECT, INSERT, UPDATE, DELETE' end
  from pg_class c
  where purpose = 'serve' and c.relnamespace = 'realtime'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
    and c.relname <> all ('{collection_calls,changed_identities,made_grants}')
  union all
  select 'table', 'realtime.channels', 'updated_at', 'UPDATE' where purpose = 'serve'  -- to lock a room that has a capacity
  union all
  select 'function', p.oid::regprocedure::text, null, 'EXECUTE'
  from pg_proc p
  where purpose = 'serve' and p.pronamespace = 'realtime'::regnamespace and p.prokind = 'f'
    and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
    and p.proname <> all ('{read_as_reader,use_path_of_role}')  -- only realtime_reader calls these
  union all
  -- Builder queries read a hidden key through a temporary view of the server's own role, and what is streamed is read as that.
  select 'table', c.relation::text, string_agg(quote_ident(a.attname), ', ' order by a.attnum), 'SELECT'
  from realtime.collections c
  join pg_class t on t.oid = c.relation
  join pg_attribute a on a.attrelid = c.relation and a.attnum > 0 and not a.attisdropped
  where purpose = 'serve' and (c.columns is null or a.attname = any (c.columns) or exists (
    select from pg_index i where i.indrelid = c.relation and (i.indisprimary or i.indisreplident) and a.attnum = any (i.indkey::int2[])))
  group by c.relation
  union all
  select 'schema', t.relnamespace::regnamespace::text, null, 'USAGE'
  from realtime.collections c join pg_class t on t.oid = c.relation where purpose = 'serve' group by t.relnamespace
$$;
comment on function realtime.privileges_for(text) is
  'What a role needs to publish by SQL (purpose publish: realtime_publisher has it), to keep sessions of users (purpose sessions), to watch (purpose monitor: pg_monitor has it) or to run the server (purpose serve)';

create or replace function realtime.missing_privileges(role name, purpose text) returns table (statement text)
language sql stable set search_path = pg_catalog, pg_temp as $$
  with one as (
    select p.kind, p.object, p.columns, trim(each.privilege) as privilege, each.n
    from realtime.privileges_for(purpose) p, string_to_table(p.privilege, ',') with ordinality each (privilege, n)
  ), missing as (
    select * from one o
    where not case o.kind
      when 'schema' then has_schema_privilege(role, o.object::regnamespace, o.privilege)
      when 'function' then has_function_privilege(role, o.object, o.privilege)
      else has_table_privilege(role, o.object, o.privilege) or o.columns is not null and (
        select bool_and(has_column_privilege(role, o.object::regclass, a.attnum, o.privilege))
        from pg_attribute a
        where a.attrelid = o.object::regclass and a.attnum > 0 and not a.attisdropped
          and quote_ident(a.attname) = any (string_to_array(o.columns, ', ')))
      end
  )
  select format('GRANT %s ON %s %s TO %I;',
                string_agg(m.privilege || coalesce(' (' || m.columns || ')', ''), ', ' order by m.n), upper(m.kind), m.object, role)
  from missing m group by m.kind, m.object, m.columns
  union all
  select format('GRANT realtime_reader TO %I;', role)
  where purpose = 'serve' and not pg_has_role(role, to_regrole('realtime_reader')::oid,  -- null where the role itself is missing
    case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end)
  union all
  -- PUBLIC has both, unless they were revoked. Temporary views are how clients' SQL is checked.
  select format('GRANT %s ON DATABASE %I TO %I;', string_agg(d.privilege, ', '), current_database(), role)
  from unnest('{CONNECT,TEMPORARY}'::text[]) d (privilege)
  where purpose = 'serve' and not has_database_privilege(role, current_database(), d.privilege)
  having count(*) > 0
  order by 1
$$;
comment on function realtime.missing_privileges(name, text) is 'The GRANTs that a role lacks for a purpose of realtime.privileges_for()';

create or replace function realtime.reader_lacks(relation regclass, columns name[]) returns setof text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select format('GRANT USAGE ON SCHEMA %I TO realtime_reader;', n.nspname)
  from pg_namespace n, pg_class k
  where k.oid = relation and not has_schema_privilege(to_regrole('realtime_reader')::oid, n.oid, 'usage') and (n.oid = k.relnamespace or n.oid in (
    select y.typnamespace from pg_attribute a join pg_type t on t.oid = a.atttypid join pg_type y on y.oid in (t.oid, t.typelem, t.typbasetype)
    where a.attrelid = k.oid and a.attnum > 0 and not a.attisdropped and (columns is null or a.attname = any (columns))))
  union all
  -- As in the query catalog: what expose() has granted, to the role itself. The grants belong to columns, the list is one of names; where
  -- only some fit, a column may have been renamed or hidden.
  select format('GRANT SELECT%s ON %s TO realtime_reader;',
                case when columns is not null then format(' (%s)', string_agg(quote_ident(a.attname), ', ' order by a.attnum)) end, relation)
  from pg_class k join pg_attribute a on a.attrelid = k.oid and a.attnum > 0 and not a.attisdropped and (columns is null or a.attname = any (columns))
  where k.oid = relation and exists (select from pg_roles r where r.rolname = 'realtime_reader')
  having not coalesce(bool_or(exists (
    select from aclexplode(case when columns is null then k.relacl else a.attacl end) x
    where x.grantee = to_regrole('realtime_reader') and x.privilege_type = 'SELECT')), true)
$$;
comment on function realtime.reader_lacks(regclass, name[]) is
  'The GRANTs that realtime_reader lacks to read these columns (null: all) of an exposed table. None where there is no such role';

create or replace function realtime.note_grants(statements text[]) returns void
language sql set search_path = pg_catalog, pg_temp as $$
  insert into realtime.made_grants (statement)
  select w.statement from unnest(statements) w (statement)
  where w.statement ~ '^GRANT .* ON (SCHEMA|TABLE|DATABASE) ' and w.statement !~ ' ON (SCHEMA|TABLE) realtime[. ]'
  on conflict do nothing
$$;
comment on function realtime.note_grants(text[]) is 'Writes down grants that were made outside the schema realtime, for realtime uninstall';

do $$
begin
  if exists (select from pg_catalog.pg_proc p where p.oid = pg_catalog.to_regprocedure('realtime.grant_missing(name, text)') and not p.proretset) then
    drop function realtime.grant_missing(name, text);  -- of versions before, which returned a number
  end if;
end
$$;
create or replace function realtime.grant_missing(role name, purpose text) returns setof text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  statement text;
  before text[] := array(select m.statement from realtime.missing_privileges(role, purpose) m);
  after text[];
begin
  foreach statement in array before loop
    begin
      execute statement;
    exception when insufficient_privilege then
      null;  -- with a grant option for something else on that object it is a warning, so what is still missing is looked at for both
    end;
  end loop;
  after := array(select m.statement from realtime.missing_privileges(role, purpose) m);
  if purpose = 'serve' and before <> after and has_table_privilege('realtime.made_grants', 'insert') then
    perform realtime.note_grants(array(select unnest(before) except select unnest(after)));
  end if;
  foreach statement in array after loop
    raise warning 'realtime: % may not give %, which it needs: %', quote_ident(current_user), quote_ident(role), statement;
  end loop;
  if cardinality(before) > cardinality(after) then
    raise info 'gave % the privileges it lacked (% grants)', quote_ident(role), cardinality(before) - cardinality(after);
  end if;
  return query select unnest(before) except select unnest(after) order by 1;
end
$$;
comment on function realtime.grant_missing(name, text) is
  'Makes the grants of realtime.missing_privileges() and returns them; a warning for each that the current role may not make';

create or replace function realtime.grant_servers(relation regclass, columns name[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  server record;
begin
  -- Mostly realtime_reader's privileges do, which servers have; not where a column of the key is hidden from clients.
  for server in
    select s.role, string_agg(quote_ident(a.attname), ', ' order by a.attnum) as missing
    from realtime.server_roles s
    join pg_roles r on r.rolname = s.role
    join pg_attribute a on a.attrelid = relation and a.attnum > 0 and not a.attisdropped
    where not has_column_privilege(r.oid, relation, a.attnum, 'select') and (columns is null or a.attname = any (columns) or exists (
      select from pg_index i where i.indrelid = relation and (i.indisprimary or i.indisreplident) and a.attnum = any (i.indkey::int2[])))
    group by s.role
  loop
    execute format('grant select (%s) on %s to %I', server.missing, relation, server.role);
    perform realtime.note_grants(array[format('GRANT SELECT (%s) ON TABLE %s TO %I;', server.missing, relation, server.role)]);
  end loop;
end
$$;
comment on function realtime.grant_servers(regclass, name[]) is 'Gives the roles that serve what they lack to read an exposed table';

create or replace function realtime.grant_server(role name) returns setof text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  made text[];
  lacking text;
begin
  if not exists (select from pg_roles r where r.rolname = role) then
    raise exception 'role % does not exist', quote_ident(role) using errcode = 'undefined_object',
      hint = format('CREATE ROLE %I LOGIN REPLICATION;', role);
  end if;
  insert into realtime.server_roles (role) values (grant_server.role) on conflict do nothing;
  made := array(select realtime.grant_missing(role, 'serve'));
  select string_agg(m.statement, ' ') into lacking from realtime.missing_privileges(role, 'serve') m;
  if lacking is not null then
    raise exception '% may not give % everything that serving needs, so nothing was given', quote_ident(current_user), quote_ident(role)
      using errcode = 'insufficient_privilege', hint = format('As a superuser or the owner: %s Then grant again.', lacking);
  end if;
  return query select unnest(made);
end
$$;
comment on function realtime.grant_server(name) is
  'Gives a role everything that running the server needs in this database, and remembers it: each migrate, and realtime.expose(), give it what '
  'is new. Not LOGIN and REPLICATION, which belong to the role. To be called by the owner of the schema. Returns the grants it made';
