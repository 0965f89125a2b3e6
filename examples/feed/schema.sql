-- Notifications and activity feed. A post mentions users as @Name; a trigger notifies them in the transaction of the post:
-- as a row that only they see, as a message to their own channel, and by Web Push where they have asked for that.

create schema if not exists feed;

create table if not exists feed.posts (
  id uuid primary key,
  author text not null,
  body text not null check (length(body) between 1 and 500),
  created_at timestamptz not null default clock_timestamp()
);

create table if not exists feed.notifications (
  id bigint generated always as identity primary key,
  user_id text not null,
  actor text not null,
  body text not null,
  created_at timestamptz not null default clock_timestamp(),
  read_at timestamptz
);
alter table feed.notifications add column if not exists kind text not null default 'mention' check (kind in ('mention', 'alert'));
create index if not exists notifications_of on feed.notifications (user_id, id desc);

-- Web Push: browsers that their users have subscribed (the back end alone reads and writes them), and what is still to be
-- sent to them. The back end sends what this trigger puts there, and takes it away.
create table if not exists feed.push_subscriptions (
  endpoint text primary key,
  user_id text not null,
  p256dh text not null,
  auth text not null,
  created_at timestamptz not null default clock_timestamp()
);
create index if not exists push_subscriptions_of on feed.push_subscriptions (user_id);

create table if not exists feed.pushes (
  notification bigint references feed.notifications on delete cascade,
  endpoint text references feed.push_subscriptions on delete cascade,
  tries int not null default 0,
  due timestamptz not null default now(),
  primary key (notification, endpoint)
);

create or replace function feed.push() returns trigger language plpgsql as $$
begin
  insert into feed.pushes (notification, endpoint)
    select new.id, endpoint from feed.push_subscriptions where user_id = new.user_id;
  if found then
    notify feed_pushes;
  end if;
  return null;
end
$$;
create or replace trigger push after insert on feed.notifications for each row execute function feed.push();

create or replace function feed.notify_mentioned() returns trigger language plpgsql as $$
declare
  mentioned text;
begin
  for mentioned in select distinct m[1] from regexp_matches(new.body, '@([[:alnum:]_-]+)', 'g') m where m[1] <> new.author
  loop
    insert into feed.notifications (user_id, actor, body) values (mentioned, new.author, new.body);
    perform realtime.broadcast('private:user-' || mentioned, 'mention',
                               jsonb_build_object('actor', new.author, 'body', new.body), sender => new.author);
  end loop;
  return null;
end
$$;
create or replace trigger notify_mentioned after insert on feed.posts
  for each row execute function feed.notify_mentioned();

create or replace function feed.post(uid text, args jsonb) returns void language sql as $$
  insert into feed.posts (id, author, body) values ((args ->> 'id')::uuid, uid, trim(args ->> 'body'))
  on conflict do nothing;
$$;

create or replace function feed.mark_read(uid text, args jsonb) returns void language sql as $$
  update feed.notifications set read_at = now() where id = (args ->> 'id')::bigint and user_id = uid and read_at is null;
$$;

create or replace function feed.mark_all_read(uid text, args jsonb) returns void language sql as $$
  update feed.notifications set read_at = now() where user_id = uid and read_at is null;
$$;

-- For operators: an alert to one user, which stays in its inbox. select feed.alert('Ada', 'Your card expires tomorrow')
create or replace function feed.alert(user_id text, text text) returns void language sql as $$
  insert into feed.notifications (user_id, kind, actor, body) values ($1, 'alert', 'the operators', $2);
  select realtime.broadcast('private:user-' || $1, 'alert', jsonb_build_object('text', $2));
$$;

-- For operators, to all who are there and who come: select feed.announce('Maintenance at 18:00');
create or replace function feed.announce(text) returns void language sql as $$
  select realtime.broadcast('public:announcements', 'announcement', jsonb_build_object('text', $1));
$$;

-- What the back end may do.
grant usage on schema feed to examples;
grant select, insert on feed.posts to examples;
grant select, insert, update on feed.notifications to examples;
grant select, insert, update, delete on feed.push_subscriptions, feed.pushes to examples;

-- What clients may see.
grant usage on schema feed to authenticated;
grant select on feed.posts, feed.notifications to authenticated;
select realtime.expose('feed.posts', name => 'posts', camel_case => true);
-- Row-level security: each user sees the rows that have its id, whatever it asks for.
select realtime.expose('feed.notifications', name => 'notifications', camel_case => true, owner_only => 'user_id');

-- private:user-ID is open to that user by its kind. Nothing is published by clients.
select realtime.set_rules('{"channel": "private:user-*", "rules": {"publish": false}}');
select realtime.set_rules('{"channel": "public:announcements", "rules": {"publish": false}}');
