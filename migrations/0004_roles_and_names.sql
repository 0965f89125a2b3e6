-- Roles that serve; what a table was called when it was exposed; who may call realtime.expose().

create table realtime.server_roles (
  role name primary key,
  granted_at timestamptz not null default now()
);
comment on table realtime.server_roles is
  'Roles that run the server, written by realtime.grant_server(); each migrate gives them what they lack. By name: a dump keeps it';

alter table realtime.collections add column table_name name;
comment on column realtime.collections.table_name is 'what the table was called when it was exposed; a collection follows the table, not the name';
update realtime.collections c set table_name = (select p.relname from pg_class p where p.oid = c.relation and p.relname = c.name);

-- realtime.expose() checks that the caller owns the table, so everybody may call it. Once: a DBA who takes it away again keeps it so.
grant usage on schema realtime to public;
