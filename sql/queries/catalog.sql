-- name: catalog_settings
-- Compiling the catalog query takes a hundred times longer than running it. And where statistics are missing or old, the planner
-- reads a whole system catalog once for each table, if it may. However short the reads of live queries are to be, the catalog
-- has half a minute: without it there are none.
select set_config(name, 'off', true)
from unnest('{jit,enable_seqscan,enable_hashjoin,enable_mergejoin}'::text[]) name
union all
select set_config('statement_timeout', '30s', true)
where current_setting('statement_timeout')::interval between '1 ms' and '30 s'

-- name: catalog
-- Everything about the exposed tables, and the service's own for administrators, in one JSON document (one statement: one snapshot). Columns of pg_database and
-- pg_collation whose names differ between versions are read through to_jsonb: datlocprovider (since 15),
-- daticulocale (15, 16), datlocale (17); so are those of pg_publication_rel (prattrs, prqual: 15) and pg_publication (pubgencols: 18).
--
-- It waits for no lock on a table: only system catalogs are read, none of the functions that open a relation (pg_get_expr,
-- pg_partition_tree, the view pg_publication_tables). What belongs to a table is looked up by index, so the work grows with the
-- number of exposed tables, also where the system catalogs have no statistics.
with
publication as (
  select p.oid, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot, p.puballtables,
         coalesce(to_jsonb(p) ->> 'pubgencols', 'n') as pubgencols
  from pg_publication p where p.pubname = 'bunbase_realtime'
),
-- key: of what the stream does not bring, which is read again by the clock: views, and tables that are not published.
built_in as (
  select b.collection, c.oid as relation, b.columns, b.key
  from (values
    ('realtime.connections', 'connections', '{id,node_id,user_id,transport,ip,metadata,attributes,connected_at,dropped_at}'::name[], null::name[]),
    ('realtime.channels', 'channels', '{name,metadata,permissions,capacity,history,ttl,max_messages,presence_timeout,typing_timeout,created_by,
                                       created_at,updated_at,closed_at}', null),
    ('realtime.presence', 'presence', '{channel,connection_id,user_id,metadata,state,joined_at,left_at,typing_until,updated_at}', null),
    ('realtime.alerts', 'alerts', '{id,rule,measure,subject,severity,value,threshold,description,raised_at,cleared_at,cleared_because}', '{id}'),
    ('realtime.alert_rules', 'alert_rules', '{name,measure,threshold,clear_at,hold,severity,enabled,description}', '{name}'),
    ('realtime.stat_nodes', 'stat_nodes', null, '{node}'),
    ('realtime.stat_slots', 'stat_slots', null, '{slot}'),
    ('realtime.stat_latency', 'stat_latency', null, '{stage}'),
    ('realtime.stat_queries', 'stat_queries', null, '{node,query_id}'),
    ('realtime.usage_nodes', 'usage_nodes', '{node_id,written_at}', '{node_id}'),
    -- its other columns read whole histories
    ('realtime.stat_channels', 'stat_channels', '{channel,room,subscribers,members,capacity,last_message_at}', '{channel}')
  ) b (collection, name, columns, key)
  join pg_class c on c.relname = b.name and c.relnamespace = to_regnamespace('realtime') and c.relkind in ('r', 'v')
),
tables as (
  select c.oid, n.nspname, c.relname, c.relkind, c.relreplident, c.relrowsecurity, c.relnamespace, k.name as collection, k.camel_case,
         k.own, k.key, k.columns, not k.own and k.columns is null and exists (
           select from aclexplode(c.relacl) x
           where x.grantee = to_regrole('realtime_reader') and x.privilege_type = 'SELECT') as whole,
         exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                 and (k.columns is null or a.attname = any (k.columns))) as readable
  from (select c.name, c.relation::oid, c.columns, c.camel_case, false as own, null::name[] as key from realtime.collections c
        union all select b.collection, b.relation, b.columns, true, true, b.key from built_in b) k
  join pg_class c on c.oid = k.relation
  join pg_namespace n on n.oid = c.relnamespace
),
used as (
  select distinct a.attcollation
  from tables t
  join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
)
select jsonb_build_object(
  'version', current_setting('server_version_num')::int,
  'encoding', pg_encoding_to_char(d.encoding),
  'default_collation', jsonb_build_object(
    'oid', 100, 'name', 'default', 'provider', coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'), 'collate', d.datcollate, 'ctype', d.datctype,
    'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), 'deterministic', true),
  'publication', (
    select jsonb_build_object('insert', p.pubinsert, 'update', p.pubupdate, 'delete', p.pubdelete, 'truncate', p.pubtruncate,
                              'via_root', p.pubviaroot, 'all_tables', p.puballtables, 'generated', p.pubgencols)
    from publication p),
  'roles', (select coalesce(jsonb_agg(s.name), '[]') from realtime.served_roles() s),
  'collations', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'oid', l.oid::bigint, 'name', l.oid::regcollation::text, 'provider', l.collprovider, 'collate', l.collcollate,
      'ctype', l.collctype, 'locale', coalesce(to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale'),
      'deterministic', l.collisdeterministic)), '[]')
    from pg_collation l where l.oid in (select attcollation from used) and l.oid <> 100),
  'types', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'oid', y.oid::bigint,
      -- pg_catalog is always on the search path; other schemas are spelled out
      'name', case when n.nspname = 'pg_catalog' then format_type(y.oid, -1)
                   else quote_ident(n.nspname) || '.' || quote_ident(y.typname) end,
      'typtype', y.typtype, 'relation', y.typrelid::bigint, 'category', y.typcategory, 'delimiter', y.typdelim,
      'base', y.typbasetype::bigint,
      'spans', case y.typtype when 'r' then (select r.rngsubtype from pg_range r where r.rngtypid = y.oid)
                              when 'm' then (select r.rngtypid from pg_range r where r.rngmultitypid = y.oid) else 0 end::bigint,
      'element', case when y.typsubscript = 'array_subscript_handler'::regproc then y.typelem::bigint else 0 end,
      'labels', (select jsonb_agg(e.enumlabel order by e.enumsortorder) from pg_enum e where e.enumtypid = y.oid),
      'fields', (
        select jsonb_agg(jsonb_build_array(f.attname, f.atttypid::bigint) order by f.attnum)
        from pg_attribute f
        where y.typtype = 'c' and f.attrelid = y.typrelid and f.attnum > 0 and not f.attisdropped),
      -- the same rule as json.c: only types made by users, only a cast by function
      'json_cast', y.oid >= 16384 and exists (
        select from pg_cast x
        where x.castsource = y.oid and x.casttarget in ('json'::regtype, 'jsonb'::regtype) and x.castmethod = 'f'))), '[]')
    from (select u.oid from realtime.types_in_use u
          union  -- these are built-in types, of no others
          select a.atttypid from built_in b join pg_attribute a on a.attrelid = b.relation and a.attnum > 0 and not a.attisdropped) u
    join pg_type y on y.oid = u.oid join pg_namespace n on n.oid = y.typnamespace),
  'tables', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'oid', t.oid::bigint, 'schema', t.nspname, 'name', t.relname, 'collection', t.collection,
      'camel_case', t.camel_case, 'replica_identity', t.relreplident, 'row_security', t.relrowsecurity,
      'inherited', t.relkind = 'r' and (exists (select from pg_inherits i where i.inhparent = t.oid)
                                        or exists (select from pg_inherits i where i.inhrelid = t.oid)),
      'published', u.oid is not null, 'readable', t.readable, 'built_in', t.own, 'timed', t.key is not null,
      'access', (  -- the columns that each served role may select
        select jsonb_object_agg(s.name, case when has_schema_privilege(s.role, t.relnamespace, 'usage') then (
          select coalesce(jsonb_agg(a.attnum order by a.attnum), '[]')
          from pg_attribute a
          where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped and has_column_privilege(s.role, t.oid, a.attnum, 'select'))
          else '[]' end)
        from realtime.served_roles() s),
      'published_columns', (
        select jsonb_agg(a.attname order by a.attnum)
        from jsonb_array_elements_text(nullif(u.attnums, 'null')) l (attnum)
        join pg_attribute a on a.attrelid = t.oid and a.attnum = l.attnum::int2),
      'row_filter', u.filtered,
      'columns', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'name', a.attname, 'attnum', a.attnum, 'type', a.atttypid::bigint, 'collation', a.attcollation::bigint,
          -- since 18 a NOT NULL constraint can be NOT VALID: then old rows may still hold nulls
          'not_null', a.attnotnull and not exists (
            select from pg_constraint x
            where x.conrelid = t.oid and x.contype = 'n' and x.conkey = array[a.attnum] and not x.convalidated),
          'generated', a.attgenerated,
          -- What expose() has granted. It belongs to the column itself: a rename does not change it, and another column that
          -- gets the old name does not have it. realtime.collections.columns are names. The query granted_columns knows all of these.
          'exposed', case when t.own then t.columns is null or a.attname = any (t.columns) else t.whole or exists (
            select from aclexplode(a.attacl) x
            where x.grantee = to_regrole('realtime_reader') and x.privilege_type = 'SELECT') end) order by a.attnum), '[]')
        from pg_attribute a where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped),
      'primary_key', case when t.key is not null then jsonb_build_object('immediate', true, 'columns', t.key) else (
        select jsonb_build_object('immediate', i.indimmediate, 'columns', array(
          select a.attname from unnest(i.indkey) with ordinality k (attnum, position)
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
          where k.position <= i.indnkeyatts order by k.position))
        from pg_index i where i.indrelid = t.oid and i.indisprimary) end,
      'members', (
        with recursive members (oid) as (
          select t.oid
          union
          select i.inhrelid
          from members m
          join pg_inherits i on i.inhparent = m.oid and not i.inhdetachpending
          where t.relkind = 'p'
        )
        select jsonb_agg(jsonb_build_object(
          'oid', m.oid::bigint, 'leaf', c.relkind <> 'p', 'kind', c.relkind, 'replica_identity', c.relreplident,
          'problem', case when c.relkind = 'r' then realtime.identity_problem(m.oid) end,
          'identity_index', (
            select array_agg(a.attname order by a.attname)
            from pg_index i join pg_attribute a on a.attrelid = i.indrelid
              and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])
            where i.indrelid = m.oid and i.indisreplident and c.relreplident = 'i')))
        from members m join pg_class c on c.oid = m.oid))), '[]')
    from tables t
    left join lateral (
      select r.oid, to_jsonb(r) ->> 'prqual' is not null as filtered, to_jsonb(r) -> 'prattrs' as attnums
      from publication p join pg_publication_rel r on r.prpubid = p.oid and r.prrelid = t.oid
      limit 1  -- there is one at most; by this it is looked up for each table
    ) u on true)
)
from pg_database d where d.datname = current_database()

-- name: catalog_schemas
-- Schemas that the publication publishes as a whole (PostgreSQL 15 and later).
select n.nspname::text
from pg_publication p
join pg_publication_namespace s on s.pnpubid = p.oid
join pg_namespace n on n.oid = s.pnnspid
where p.pubname = 'bunbase_realtime'

-- name: catalog_marks
-- For each exposed table a text that changes with its definition, with what the publication sends of it, and with what realtime_reader may
-- see; 0 stands for the publication as a whole, null for the types that are in use, -1 for settings of sessions (ALTER ROLE and ALTER DATABASE ...
-- SET, the configuration of the server), for which no event trigger fires. It waits for no lock on a table either.
select null::bigint as oid, md5(coalesce(string_agg(format('%s %s %s %s', y.oid, y.typname, y.typnamespace, coalesce(
  (select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum e where e.enumtypid = y.oid),
  (select string_agg(f.attname || ' ' || f.atttypid, ',' order by f.attnum) from pg_attribute f
   where f.attrelid = y.typrelid and f.attnum > 0 and not f.attisdropped))), ';' order by y.oid), '')) as mark
from realtime.types_in_use u join pg_type y on y.oid = u.oid
union all
select 0, format('%s %s %s', p.oid, p.xmin, (
  -- Of rights: GRANT of a role and ALTER ROLE fire no event trigger. All that catalog_shared_mark has of roles, as it has it: what only that
  -- mark shows is looked for in vain.
  select md5(string_agg(s.name || s.reading, ',' order by s.name)
    || (select string_agg(format('%s %s %s', m.roleid, m.member, m.xmin), ',' order by m.roleid, m.member, m.xmin::text) from pg_auth_members m)
    || (select string_agg(format('%s %s %s %s %s', r.oid, r.rolname, r.rolsuper, r.rolbypassrls, r.rolinherit), ',' order by r.oid) from pg_roles r)
    || coalesce((select string_agg(format('%s %s', o.oid, o.xmin), ',' order by o.oid) from pg_policy o), ''))
  from realtime.served_roles() s))
from pg_publication p where p.pubname = 'bunbase_realtime'
union all
select -1, md5(concat_ws(';',
  (select string_agg(format('%s %s %s', g.setdatabase, g.setrole, g.setconfig), ',' order by g.setdatabase, g.setrole) from pg_db_role_setting g),
  '', (select string_agg(p.reset_val, ',' order by p.name) from pg_settings p where p.name = any (
    '{DateStyle,TimeZone,IntervalStyle,extra_float_digits,bytea_output,search_path}'))))
union all
select c.oid::bigint, md5(concat_ws(';',
  k.name, k.columns::text, k.camel_case::text, c.relname, c.relnamespace, c.relkind, c.relreplident, c.relrowsecurity::text, c.relforcerowsecurity::text, c.relowner::text, c.relacl::text,
  (select format('%s %s', r.oid, r.xmin)
   from pg_publication p join pg_publication_rel r on r.prpubid = p.oid where p.pubname = 'bunbase_realtime' and r.prrelid = c.oid),
  (select string_agg(format('%s %s %s %s %s %s %s', a.attnum, a.attname, a.atttypid, a.attcollation, a.attnotnull, a.attgenerated, a.attacl),
                     ',' order by a.attnum)
   from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  (select string_agg(format('%s %s %s', i.indexrelid, i.indisreplident, i.indimmediate), ',' order by i.indexrelid)
   from pg_index i where i.indrelid = c.oid and (i.indisprimary or i.indisreplident)),
  -- With the row of pg_inherits: a partition that was detached, changed and attached again is the same table, with other rows.
  -- xmin is kept by VACUUM FREEZE (docs: System Columns).
  (with recursive members (oid, attached) as (
     select i.inhrelid, i.xmin::text from pg_inherits i where i.inhparent = c.oid
     union
     select i.inhrelid, i.xmin::text from members m join pg_inherits i on i.inhparent = m.oid
   )
   select string_agg(format('%s %s %s %s', m.oid, m.attached, n.relreplident, (
     select string_agg(format('%s %s %s', i.indexrelid, i.indisreplident, i.indimmediate), ',' order by i.indexrelid)
     from pg_index i where i.indrelid = m.oid and (i.indisprimary or i.indisreplident))), ',' order by m.oid)
   from members m join pg_class n on n.oid = m.oid)))
from (select k.relation::oid, k.name, k.columns, k.camel_case from realtime.collections k
      union all  -- those of administrators, which the query catalog has as well
      select c.oid, c.relname, null, true from pg_class c
      where c.relnamespace = to_regnamespace('realtime') and c.relkind in ('r', 'v') and c.relname in (
        'connections', 'channels', 'presence', 'alerts', 'alert_rules', 'stat_nodes', 'stat_slots', 'stat_latency', 'stat_queries', 'stat_channels', 'usage_nodes')) k
join pg_class c on c.oid = k.relation

-- name: catalog_shared_mark
-- A text that changes with memberships and attributes of roles and with the settings of sessions. All databases share these catalogs, so no event
-- trigger fires for them (docs: Overview of Event Trigger Behavior), nor for REASSIGN OWNED: so it changes with the owners of the tables, views and
-- functions that policies read, too. It is cheap: few rows, no privilege is looked up, and no catalog is read that has a row for each table. xmin: a
-- membership that is granted again WITH INHERIT FALSE is the same row, changed, and an owner may come back between two looks. A row type has the
-- owner of its table, and is not changed by TRUNCATE.
select md5(concat_ws(';',
  (select string_agg(format('%%s %%s %%s', m.roleid, m.member, m.xmin), ',' order by m.roleid, m.member, m.xmin::text) from pg_auth_members m),
  '', (select string_agg(format('%%s %%s %%s %%s %%s', r.oid, r.rolname, r.rolsuper, r.rolbypassrls, r.rolinherit), ',' order by r.oid) from pg_roles r),
  '', (select string_agg(format('%%s %%s %%s', g.setdatabase, g.setrole, g.setconfig), ',' order by g.setdatabase, g.setrole) from pg_db_role_setting g),
  '', (select string_agg(format('%%s %%s', c.oid, t.xmin), ',' order by c.oid)
       from pg_class c join pg_type t on t.oid = c.reltype where c.oid = any (%(relations)s::oid[])),
  '', (select string_agg(format('%%s %%s', f.oid, f.xmin), ',' order by f.oid) from pg_proc f where f.oid = any (%(functions)s::oid[]))))

-- name: catalog_role_settings
-- Of each served role the settings that its sessions would have, where ours have others: what ALTER ROLE and ALTER DATABASE set (docs: ALTER
-- ROLE; the first of these counts: the role in this database, the role, the database, all roles), else what the server is configured with.
-- Settings of applications, whose names have a dot, as far as they are set so. hidden: what the configuration has is not known here, because
-- the role that reads has a value of its own (or: names in masked).
with stored as (
  select s.setdatabase, s.setrole, split_part(c, '=', 1) as name, substr(c, position('=' in c) + 1) as value
  from pg_db_role_setting s cross join lateral unnest(s.setconfig) c
  where s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))),
wanted as (
  select p.name, p.reset_val, p.name = any (%(masked)s::text[]) or exists (
      select from stored s where lower(s.name) = lower(p.name) and s.setrole = (select r.oid from pg_roles r where r.rolname = session_user)) as hidden
  from pg_settings p where p.name = any (%(names)s::text[])
  union
  select s.name, null, false from stored s
  where position('.' in s.name) > 0 and split_part(s.name, '.', 1) not in ('realtime', 'request')
    and not exists (select from pg_settings p where split_part(p.name, '.', 1) = split_part(s.name, '.', 1) and p.context <> 'user')
)
select r.name::text as role, w.name, coalesce(f.value, case when not w.hidden then w.reset_val end) as value, w.reset_val as configured, w.hidden
from realtime.served_roles() r cross join wanted w
left join lateral (
  select s.value from stored s
  where lower(s.name) = lower(w.name) and s.setrole in (0, r.role)
  order by s.setrole = 0, s.setdatabase = 0 limit 1
) f on true
where coalesce(f.value, case when not w.hidden then w.reset_val end) is distinct from current_setting(w.name, true)
order by r.name, w.name

-- name: stream_key
-- What logical messages of our functions carry.
select stream_key from realtime.settings

-- name: column_comments
-- The comments on the columns of tables.
select d.objoid::bigint, d.objsubid, d.objoid::regclass || '.' || a.attname, d.description
from pg_description d join pg_attribute a on a.attrelid = d.objoid and a.attnum = d.objsubid
where d.classoid = 'pg_class'::regclass and d.objoid = any (%s::oid[]) and d.objsubid > 0
order by 1, 2
