"""What the database of the model has."""

from __future__ import annotations

from tests.model.oracle import ROOM, ROUTED

__all__ = ["CHANNELS", "SETUP", "USERS"]

CHANNELS = ("public:a", "chat:b", "presence:p", "cursors:c", "room:cap", ROOM, ROUTED)
"""``cursors:`` has no history, ``room:cap`` takes two users, ``room:life`` is made and closed again and again."""

USERS = (("ann", "ann"), ("ann again", "ann"), ("bob", "bob"), ("cat", "cat"), ("nobody", None))

SETUP = """
insert into realtime.channel_defaults (pattern, history, presence_timeout, typing_timeout)
values ('cursors:*', false, '300 ms', '300 ms');
update realtime.channel_defaults set presence_timeout = '300 ms', typing_timeout = '300 ms' where pattern = '*';
select realtime.create_channel('room:cap', capacity => 2, presence_timeout => '300 ms');
select realtime.create_channel('room:life', presence_timeout => '300 ms');
insert into realtime.routes (from_channel, to_channel, match)
values ('chat:*', 'public:routed', '[["data.k", "==", 1]]'), ('public:control', 'public:echo', '[]');
create table orders (n bigint primary key, channel text not null);
create trigger announce after insert on orders
  for each row execute function realtime.broadcast_changes('{channel}', 'changed');
"""
