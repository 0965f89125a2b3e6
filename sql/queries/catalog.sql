-- name: catalog_settings
-- Compiling the catalog query takes a hundred times longer than running it.
set local jit = off

-- name: catalog
-- Everything about the exposed tables in one JSON document (one statement: one snapshot). Columns of pg_database and
-- pg_collation whose names differ between versions are read through to_jsonb: datlocprovider (since 15),
-- daticulocale (15, 16), datlocale (17).
with recursive
tables as (
  select c.oid, n.nspname, c.relname, c.relkind, c.relreplident, c.relrowsecurity, k.name as collection, k.columns,
         k.camel_case
  from realtime.collections k
  join pg_class c on c.oid = k.relation
  join pg_namespace n on n.oid = c.relnamespace
),
members as (
  select t.oid as root, m.relid as oid, m.isleaf, c.relkind, c.relreplident
  from tables t
  cross join lateral (
    select p.relid, p.isleaf from pg_partition_tree(t.oid) p where t.relkind = 'p'
    union all
    select t.oid, true where t.relkind <> 'p'
  ) m
  join pg_class c on c.oid = m.relid
),
columns as (
  select t.oid as relation, a.attnum, a.attname, a.atttypid, a.attcollation, a.attgenerated,
         -- since 18 a NOT NULL constraint can be NOT VALID: then old rows may still hold nulls
         a.attnotnull and not exists (
           select from pg_constraint x
           where x.conrelid = t.oid and x.contype = 'n' and x.conkey = array[a.attnum] and not x.convalidated
         ) as not_null,
         t.columns is null or a.attname = any (t.columns) as exposed
  from tables t
  join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
),
types as (
  select atttypid as oid from columns
  union
  select related.oid
  from types
  join pg_type y on y.oid = types.oid
  cross join lateral (
    select y.typbasetype where y.typtype = 'd'
    union all
    select y.typelem where y.typsubscript = 'array_subscript_handler'::regproc
    union all
    select f.atttypid from pg_attribute f
    where y.typtype = 'c' and f.attrelid = y.typrelid and f.attnum > 0 and not f.attisdropped
  ) as related (oid)
),
published as (
  -- column lists and row filters exist since 15
  select t.oid, to_jsonb(p) -> 'attnames' as attnames, to_jsonb(p) ->> 'rowfilter' as rowfilter
  from tables t
  join pg_publication_tables p on p.pubname = 'bunbase_realtime' and p.schemaname = t.nspname and p.tablename = t.relname
)
select jsonb_build_object(
  'version', current_setting('server_version_num')::int,
  'encoding', pg_encoding_to_char(d.encoding),
  'default_collation', jsonb_build_object(
    'oid', 100, 'name', 'default', 'provider', coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'), 'collate', d.datcollate, 'ctype', d.datctype,
    'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), 'deterministic', true),
  'collations', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'oid', l.oid::bigint, 'name', l.oid::regcollation::text, 'provider', l.collprovider, 'collate', l.collcollate,
      'ctype', l.collctype, 'locale', coalesce(to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale'),
      'deterministic', l.collisdeterministic)), '[]')
    from pg_collation l where l.oid in (select attcollation from columns) and l.oid <> 100),
  'types', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'oid', y.oid::bigint,
      -- pg_catalog is always on the search path; other schemas are spelled out
      'name', case when n.nspname = 'pg_catalog' then format_type(y.oid, -1)
                   else quote_ident(n.nspname) || '.' || quote_ident(y.typname) end,
      'typtype', y.typtype, 'category', y.typcategory, 'delimiter', y.typdelim,
      'base', y.typbasetype::bigint,
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
    from types join pg_type y on y.oid = types.oid join pg_namespace n on n.oid = y.typnamespace),
  'tables', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'oid', t.oid::bigint, 'schema', t.nspname, 'name', t.relname, 'collection', t.collection,
      'camel_case', t.camel_case, 'replica_identity', t.relreplident, 'row_security', t.relrowsecurity,
      'inherited', t.relkind = 'r' and exists (select from pg_inherits i where t.oid in (i.inhparent, i.inhrelid)),
      'published', u.oid is not null, 'published_columns', u.attnames, 'row_filter', u.rowfilter,
      'columns', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'name', c.attname, 'attnum', c.attnum, 'type', c.atttypid::bigint, 'collation', c.attcollation::bigint,
          'not_null', c.not_null, 'generated', c.attgenerated, 'exposed', c.exposed) order by c.attnum), '[]')
        from columns c where c.relation = t.oid),
      'primary_key', (
        select jsonb_build_object('immediate', i.indimmediate, 'columns', array(
          select a.attname from unnest(i.indkey) with ordinality k (attnum, position)
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
          where k.position <= i.indnkeyatts order by k.position))
        from pg_index i where i.indrelid = t.oid and i.indisprimary),
      'members', (
        select jsonb_agg(jsonb_build_object(
          'oid', m.oid::bigint, 'leaf', m.isleaf, 'kind', m.relkind, 'replica_identity', m.relreplident,
          'problem', case when m.isleaf and m.relkind = 'r' then realtime.identity_problem(m.oid) end,
          'identity_index', (
            select array_agg(a.attname order by a.attname)
            from pg_index i join pg_attribute a on a.attrelid = i.indrelid
              and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])
            where i.indrelid = m.oid and i.indisreplident and m.relreplident = 'i')))
        from members m where m.root = t.oid))), '[]')
    from tables t left join published u on u.oid = t.oid)
)
from pg_database d where d.datname = current_database()
