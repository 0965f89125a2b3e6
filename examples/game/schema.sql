-- A small game: collect coins before the others do. Rooms have four seats; the back end finds one (matchmaking). Positions are
-- messages of the room's channel and are stored nowhere; coins and scores are tables.

create schema if not exists game;

create table if not exists game.seats (
  player text primary key,
  room text not null,
  taken_at timestamptz not null default now()
);
create table if not exists game.coins (
  id bigint generated always as identity primary key,
  room text not null,
  x integer not null,
  y integer not null
);
create index if not exists coins_of on game.coins (room);
create table if not exists game.scores (
  player text primary key,
  score integer not null default 0
);
create index if not exists scores_best on game.scores (score desc, player);

-- Positions and what players write are delivered and not kept.
insert into realtime.channel_defaults (pattern, history, dynamic) values ('game:*', false, false)
on conflict (pattern) do update set history = false, dynamic = false;

create or replace function game.spawn(room text, coins integer) returns void language sql as $$
  insert into game.coins (room, x, y)
  select room, 4 + (random() * 92)::int, 4 + (random() * 92)::int from generate_series(1, coins);
$$;

-- Matchmaking: the fullest room with a free seat, or a new one. Its members are in the metadata, which the rule below reads.
create or replace function game.join(uid text, args jsonb) returns jsonb language plpgsql as $$
declare
  seat text;
begin
  perform pg_advisory_xact_lock(hashtext('game.join'));
  -- Seats of players that left: not in the room, and not on the way into it.
  delete from game.seats s where s.taken_at < now() - interval '30 seconds'
    and not exists (select from realtime.presence_now p where p.channel = s.room and p.user_id = s.player);

  select room into seat from game.seats where player = uid;
  if seat is null then
    select room into seat from game.seats group by room having count(*) < 4 order by count(*) desc, room limit 1;
  end if;
  if seat is null then
    seat := 'game:' || gen_random_uuid();
    perform realtime.create_channel(seat, capacity => 4, metadata => jsonb_build_object('members', jsonb_build_array(uid)));
    perform game.spawn(seat, 8);
  end if;
  insert into game.seats (player, room) values (uid, seat) on conflict (player) do update set taken_at = now();
  insert into game.scores (player) values (uid) on conflict do nothing;
  perform realtime.update_channel(seat, jsonb_build_object('metadata', jsonb_build_object(
    'members', (select jsonb_agg(player order by player) from game.seats where room = seat))));

  -- Rooms without seats are over.
  perform realtime.close_channel(r.name) from realtime.channel_list r
  where r.room and r.name like 'game:%' and not exists (select from game.seats s where s.room = r.name);
  delete from game.coins c where not exists (select from game.seats s where s.room = c.room);
  return jsonb_build_object('room', seat);
end
$$;

-- A coin is one row: of two players who reach it at once, one deletes it.
create or replace function game.collect(uid text, args jsonb) returns boolean language plpgsql as $$
declare
  place text;
begin
  delete from game.coins c using game.seats s
  where c.id = (args ->> 'coin')::bigint and s.player = uid and s.room = c.room
  returning c.room into place;
  if place is null then
    return false;
  end if;
  update game.scores set score = score + 1 where player = uid;
  perform game.spawn(place, 1);
  return true;
end
$$;

-- What the back end may do.
grant usage on schema game to examples;
grant select, insert, update, delete on game.seats to examples;
grant select, insert, delete on game.coins to examples;
grant select, insert, update on game.scores to examples;

-- What clients may see.
grant usage on schema game to authenticated;
grant select on game.coins, game.scores to authenticated;
select realtime.expose('game.coins', name => 'coins');
select realtime.expose('game.scores', name => 'scores');

select realtime.set_rules('{
  "channel": "game:*",
  "rules": {
    "subscribe": "auth.uid in data.members",
    "presence": "auth.uid in data.members",
    "publish": "auth.uid in data.members && request.event in [''move'', ''chat'']"
  }
}');

-- What players write is a text, which the server judges before it delivers it.
insert into realtime.content_policies (name, channel, event, schema) values ('chat of the game', 'game:*', 'chat', '{
  "type": "object",
  "required": ["text"],
  "properties": {"text": {"type": "string", "minLength": 1, "maxLength": 200}},
  "additionalProperties": false
}')
on conflict (name) do update set schema = excluded.schema;
