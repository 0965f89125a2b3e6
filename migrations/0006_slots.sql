-- Slots apart from nodes. A node lives as long as its lease; its slot stays in the cluster until it is dropped, also when the node is gone.

create table realtime.slots (
  name name primary key,
  node text references realtime.nodes on delete set null,
  ephemeral boolean not null default false,
  created_at timestamptz not null default now()
);
create index slots_node on realtime.slots (node);
comment on table realtime.slots is
  'Replication slots of nodes of this database. No other slot is ever dropped; the slot of a node that is gone is, by the other nodes';
comment on column realtime.slots.node is 'the node whose slot it is; null: that is gone, and the slot is dropped as soon as nothing uses it';
comment on column realtime.slots.ephemeral is 'the slot goes when its node stops';

insert into realtime.slots (name, node, ephemeral, created_at) select n.slot_name, n.id, n.throw_away, n.started_at from realtime.nodes n;

alter table realtime.nodes drop column slot_name, drop column throw_away;
comment on table realtime.nodes is 'Running nodes. When a lease runs out, the other nodes drop its slot (realtime.slots), so that it does not pin WAL';
