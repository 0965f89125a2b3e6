-- name: uninstall_lock
-- No node registers, or renews its lease, until this transaction ends.
lock table realtime.nodes, realtime.slots in share row exclusive mode

-- name: uninstall_running
-- Nodes that run: those that were stopped have no version.
select n.id, coalesce(n.host, 'unknown host') as host, n.lease_expires_at::text as until
from realtime.nodes n where n.schema_version is not null and n.lease_expires_at > clock_timestamp() order by n.id

-- name: uninstall_end_sessions
-- End the sessions of nodes in this database; returns how many. A node that reconnects waits for the lock, and then finds no schema.
select count(pg_terminate_backend(a.pid, 10000))
from pg_stat_activity a
where a.datname = current_database() and a.pid <> pg_backend_pid()
  and (a.application_name like 'realtime feed %%' or a.application_name like 'realtime node %%' or a.application_name like 'realtime channels %%'
       or a.application_name like 'realtime publisher %%' or a.application_name in ('realtime reader', 'realtime rest'))

-- name: uninstall_slots
-- The slots of this database's nodes that exist.
select s.name::text as name, p.active_pid
from realtime.slots s join pg_replication_slots p on p.slot_name = s.name and p.database = current_database()
order by s.name

-- name: uninstall_collections
-- What is exposed.
select c.name, c.relation::text as relation from realtime.collections c order by c.name

-- name: uninstall_unexpose
-- Close a collection.
select realtime.unexpose(%s)

-- name: uninstall_identities
-- Replica identities that expose() has changed and that are still as it left them, with the statement that restores each.
select c.oid::regclass::text as relation,
       format('alter table %%s replica identity %%s', c.oid::regclass,
              case i.former when 'f' then 'full' when 'n' then 'nothing' when 'i' then 'using index ' || quote_ident(x.relname) else 'default' end) as statement,
       case i.former when 'f' then 'full' when 'n' then 'nothing' when 'i' then 'index ' || x.relname else 'default' end as former
from realtime.changed_identities i
join pg_class c on c.oid = i.relation and c.relreplident = i.given
left join pg_class x on x.oid = i.former_index
where i.former <> i.given and (i.former <> 'i' or x.oid is not null)
order by 1

-- name: uninstall_grants
-- The grants that were made, each with its opposite.
select g.statement, regexp_replace(g.statement, '^GRANT (.*) TO (.*);$', 'REVOKE \1 FROM \2;') as opposite from realtime.made_grants g order by g.statement

-- name: uninstall_users
-- Objects outside the schema that use it and go with it: triggers and views that others have made.
select format('trigger %%I on %%s', t.tgname, t.tgrelid::regclass) as name
from pg_trigger t join pg_proc p on p.oid = t.tgfoid join pg_class c on c.oid = t.tgrelid
where p.pronamespace = to_regnamespace('realtime') and c.relnamespace <> to_regnamespace('realtime') and not t.tgisinternal and t.tgparentid = 0
  and t.tgname <> 'realtime_truncate'
union
select format('view %%s', v.oid::regclass)
from pg_depend d join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid join pg_class v on v.oid = r.ev_class
where v.relnamespace <> to_regnamespace('realtime')
  and (d.refclassid = 'pg_class'::regclass and exists (select from pg_class c where c.oid = d.refobjid and c.relnamespace = to_regnamespace('realtime'))
       or d.refclassid = 'pg_proc'::regclass and exists (select from pg_proc p where p.oid = d.refobjid and p.pronamespace = to_regnamespace('realtime')))
order by 1

-- name: uninstall_contents
-- What goes with the schema, counted; messages are estimated as of the last ANALYZE.
select (select count(*) from pg_class c where c.relnamespace = n.oid and c.relkind in ('r', 'p') and not c.relispartition) as tables,
       (select count(*) from pg_proc p where p.pronamespace = n.oid) as functions,
       (select count(*) from pg_event_trigger e join pg_proc p on p.oid = e.evtfoid where p.pronamespace = n.oid) as event_triggers,
       (select count(*) from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where t.tgname = 'realtime_truncate' and c.relnamespace <> n.oid and t.tgparentid = 0) as truncate_triggers
from pg_namespace n where n.nspname = 'realtime'

-- name: uninstall_publication
-- Whether there is one.
select exists (select from pg_publication p where p.pubname = 'bunbase_realtime') as exists

-- name: uninstall_schema
-- The schema and all that depends on it.
drop schema realtime cascade

-- name: uninstall_roles
-- The roles of this service, and the other databases in which they have something.
select r.rolname::text as name,
       array(select distinct d.datname::text from pg_shdepend s join pg_database d on d.oid = s.dbid
             where s.refclassid = 'pg_authid'::regclass and s.refobjid = r.oid and d.datname <> current_database() order by 1) as databases
from pg_roles r where r.rolname in ('realtime_reader', 'realtime_publisher') order by 1
