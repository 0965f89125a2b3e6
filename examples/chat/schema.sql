-- Live chat. Messages, files and read receipts are tables; presence and typing are those of the channel chat:lounge.
-- The back end calls chat.NAME(uid, args) for a user that is signed in; clients write nothing by themselves.

create schema if not exists chat;

create table if not exists chat.files (
  id uuid primary key default gen_random_uuid(),
  owner text not null,
  name text not null check (length(name) between 1 and 200),
  type text not null check (length(type) <= 100),
  content bytea not null check (length(content) between 1 and 1048576)
);

create table if not exists chat.messages (
  id uuid primary key,
  room text not null,
  author text not null,
  body text not null check (length(body) <= 2000),
  file jsonb,                              -- what others see of a file: id, name, type, size
  reactions jsonb not null default '{}',   -- users by emoji: {"+1": ["Ada"]}
  created_at timestamptz not null default clock_timestamp(),
  edited_at timestamptz,
  check (body <> '' or file is not null)
);
create index if not exists messages_newest on chat.messages (room, created_at desc, id desc);

-- The newest message that a user has read.
create table if not exists chat.reads (
  room text not null,
  reader text not null,
  message uuid not null,
  at timestamptz not null,
  primary key (room, reader)
);

create or replace function chat.send(uid text, args jsonb) returns void language sql as $$
  insert into chat.messages (id, room, author, body)
  values ((args ->> 'id')::uuid, 'lounge', uid, trim(args ->> 'body'))
  on conflict do nothing; -- the request came twice
$$;

-- The bytes stay in their table; the message refers to them.
create or replace function chat.share(uid text, args jsonb) returns void language sql as $$
  with file as (
    insert into chat.files (owner, name, type, content)
    values (uid, args ->> 'name', args ->> 'type', decode(args ->> 'content', 'base64'))
    returning id, name, type, length(content) as size
  )
  insert into chat.messages (id, room, author, body, file)
  select (args ->> 'id')::uuid, 'lounge', uid, '', to_jsonb(file) from file;
$$;

create or replace function chat.file(uid text, args jsonb) returns jsonb language sql stable as $$
  select jsonb_build_object('name', name, 'type', type, 'content', encode(content, 'base64'))
  from chat.files where id = (args ->> 'id')::uuid;
$$;

create or replace function chat.edit(uid text, args jsonb) returns void language plpgsql as $$
begin
  update chat.messages set body = trim(args ->> 'body'), edited_at = now()
  where id = (args ->> 'id')::uuid and author = uid;
  if not found then
    raise exception 'You can edit your own messages only.';
  end if;
end
$$;

-- Adds the reaction of a user, or takes it back.
create or replace function chat.react(uid text, args jsonb) returns void language plpgsql as $$
declare
  emoji text := args ->> 'emoji';
begin
  if emoji is null or emoji not in ('+1', '❤️', '😄') then
    raise exception 'There is no such reaction.';
  end if;
  update chat.messages set reactions = jsonb_set(reactions, array[emoji],
    case when coalesce(reactions -> emoji, '[]') ? uid then (reactions -> emoji) - uid
         else coalesce(reactions -> emoji, '[]') || to_jsonb(uid) end)
  where id = (args ->> 'id')::uuid;
end
$$;

create or replace function chat.read(uid text, args jsonb) returns void language sql as $$
  insert into chat.reads (room, reader, message, at)
  select room, uid, id, created_at from chat.messages where id = (args ->> 'id')::uuid
  on conflict (room, reader) do update set message = excluded.message, at = excluded.at where excluded.at > reads.at;
$$;

-- What the back end may do.
grant usage on schema chat to examples;
grant select, insert on chat.files to examples;
grant select, insert, update on chat.messages, chat.reads to examples;

-- What clients may see.
grant usage on schema chat to authenticated;
grant select on chat.messages, chat.reads to authenticated;
select realtime.expose('chat.messages', name => 'chat_messages', camel_case => true);
select realtime.expose('chat.reads', name => 'chat_reads');

-- Who may use the channel: users may be present in it, and publish nothing.
select realtime.set_rules('{
  "channel": "chat:lounge",
  "rules": {"subscribe": "auth.uid != null", "presence": "auth.uid != null", "publish": false}
}');
