-- Collaborative editing. A document is a Yjs document: each update of it is a message of the channel notes:ID, and the back end
-- merges them into notes.states from time to time (examples/yjs_documents.py). Cursors go over cursors:ID and are not stored.

create schema if not exists notes;

create table if not exists notes.documents (
  id uuid primary key,
  title text not null check (length(title) between 1 and 80),
  owner text,                                -- decides who edits; null: the document belongs to all
  everyone boolean not null default true,    -- all users may edit it; else only the owner and the editors. All may read it
  editors text[] not null default '{}',
  created_at timestamptz not null default clock_timestamp()
);

-- What the updates up to a position make together: who joins loads this, and then the messages since. More than that may be in it.
create table if not exists notes.states (
  document uuid primary key references notes.documents,
  state bytea,                               -- a Yjs update; null: nothing was merged so far
  position text not null default '0/0/0',
  epoch text not null default realtime.epoch()  -- of the position
);

create table if not exists notes.versions (
  id bigint generated always as identity primary key,
  document uuid not null references notes.documents,
  name text not null check (length(name) between 1 and 80),
  author text not null,
  body text not null check (length(body) <= 1000000),
  created_at timestamptz not null default clock_timestamp()
);
create index if not exists versions_of on notes.versions (document, id desc);

-- Updates are kept until they are merged, however long that takes; only documents of the table have a channel. Cursors are not kept.
insert into realtime.channel_defaults (pattern, history, dynamic, ttl)
values ('notes:*', true, false, null), ('cursors:*', false, true, null)
on conflict (pattern) do update set history = excluded.history, dynamic = excluded.dynamic, ttl = excluded.ttl;

create or replace function notes.require_editor(uid text, document uuid) returns void language plpgsql stable as $$
begin
  perform from notes.documents d
  where d.id = document and (d.everyone or d.owner = uid or uid = any (d.editors));
  if not found then
    raise exception 'You may read this document, but not edit it.';
  end if;
end
$$;

-- The rule below reads who may edit from the metadata of the document's channel.
create or replace function notes.rights(document uuid) returns jsonb language sql stable as $$
  select jsonb_build_object('owner', owner, 'everyone', everyone, 'editors', editors) from notes.documents where id = document;
$$;

create or replace function notes.create(uid text, args jsonb) returns void language plpgsql as $$
declare
  document uuid := args ->> 'id';
begin
  insert into notes.documents (id, title, owner) values (document, trim(args ->> 'title'), uid) on conflict do nothing;
  if found then -- else the request came twice
    insert into notes.states (document) values (document);
    perform realtime.create_channel('notes:' || document, metadata => notes.rights(document));
  end if;
end
$$;

-- {"document", "everyone"}: whether all users may edit. {"document", "person", "edits"}: whether one may.
create or replace function notes.share(uid text, args jsonb) returns void language plpgsql as $$
declare
  changed uuid;
begin
  update notes.documents set
    everyone = coalesce((args ->> 'everyone')::boolean, everyone),
    editors = case
      when args ->> 'person' is null then editors
      when (args ->> 'edits')::boolean then array_append(array_remove(editors, args ->> 'person'), args ->> 'person')
      else array_remove(editors, args ->> 'person') end
  where id = (args ->> 'document')::uuid and owner = uid
  returning id into changed;
  if changed is null then
    raise exception 'Only its owner decides who may edit a document.';
  end if;
  perform realtime.update_channel('notes:' || changed, jsonb_build_object('metadata', notes.rights(changed)));
end
$$;

-- As the owner: applications may not call these functions of the schema realtime.
create or replace function notes.is_after(a text, b text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select (realtime.position_lsn(a), realtime.position_seq(a)) > (realtime.position_lsn(b), realtime.position_seq(b));
$$;

-- For a page that has all up to a position (null: nothing yet): the merged state if that has more, and up to where it was merged.
create or replace function notes.open(uid text, args jsonb) returns jsonb language plpgsql stable as $$
declare
  merged notes.states;
begin
  select * into merged from notes.states where document = (args ->> 'document')::uuid;
  if not found then
    raise exception 'There is no such document.';
  elsif merged.epoch is distinct from realtime.epoch() then -- the database was restored: positions of before mean nothing now
    return jsonb_build_object('position', '0/0/0', 'state', encode(merged.state, 'base64'));
  end if;
  return jsonb_build_object(
    'position', merged.position,
    'state', case when args ->> 'position' is null or notes.is_after(merged.position, args ->> 'position')
                  then encode(merged.state, 'base64') end);
end
$$;

-- An update that is too large for a message: the back end has merged it into the state in this transaction, and the others load that.
create or replace function notes.merge(uid text, args jsonb) returns void language plpgsql as $$
begin
  perform notes.require_editor(uid, (args ->> 'document')::uuid);
  perform realtime.broadcast('notes:' || (args ->> 'document'), 'merged', '{}'::jsonb, sender => uid);
end
$$;

-- A version is the text as its author saw it. It changes nothing; it is restored by an edit of the document.
create or replace function notes.save(uid text, args jsonb) returns void language plpgsql as $$
begin
  perform notes.require_editor(uid, (args ->> 'document')::uuid);
  insert into notes.versions (document, name, author, body)
  values ((args ->> 'document')::uuid, trim(args ->> 'name'), uid, args ->> 'body');
end
$$;

create or replace function notes.version(uid text, args jsonb) returns jsonb language sql stable as $$
  select jsonb_build_object('body', body) from notes.versions where id = (args ->> 'id')::bigint;
$$;

-- A document for all, so that there is one.
select notes.create(null, '{"id": "00000000-0000-4000-8000-000000000001", "title": "Welcome"}');

-- What the back end may do.
grant usage on schema notes to examples;
grant select, insert, update on notes.documents, notes.states to examples;
grant select, insert on notes.versions to examples;

-- What clients may see: of versions the list, while the text of one comes when it is asked for.
grant usage on schema notes to authenticated;
grant select on notes.documents to authenticated;
grant select (id, document, name, author, created_at) on notes.versions to authenticated;
select realtime.expose('notes.documents', name => 'note_documents', camel_case => true);
select realtime.expose('notes.versions', name => 'note_versions', columns => '{id,document,name,author,created_at}', camel_case => true);

select realtime.set_rules('{
  "channel": "notes:*",
  "rules": {
    "subscribe": "auth.uid != null",
    "presence": false,
    "publish": "auth.uid != null && request.event == ''update'' && (data.everyone || auth.uid == data.owner || auth.uid in data.editors)"
  }
}');
select realtime.set_rules('{
  "channel": "cursors:*",
  "rules": {"subscribe": "auth.uid != null", "presence": "auth.uid != null", "publish": "auth.uid != null && request.event == ''cursor''"}
}');
