-- Which version of sql/schema each running node was made for, so that a migrate does not take from a running node what it calls.
alter table realtime.nodes add column schema_version integer;
comment on column realtime.nodes.schema_version is
  'the version of sql/schema that the node was made for; null: it was stopped, or it was made before versions were recorded';
