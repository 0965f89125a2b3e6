"""What random histories of policies are made of."""

from __future__ import annotations

import random
from typing import Any

__all__ = [
    "AHEAD",
    "BODIES",
    "BY_OTHER_CLAIMS",
    "BY_SUB",
    "DAYS",
    "HIDING",
    "INSTANTS",
    "MAILS",
    "MEMBER_CONDITIONS",
    "NOTE_CONDITIONS",
    "ORGS",
    "PARTITIONED",
    "PEOPLE",
    "PLAIN",
    "QUERIES",
    "SCHEMA",
    "SETTINGS",
    "VIEWS",
    "random_claims",
]

AHEAD = "set search_path = ahead, public"
HIDING = {
    "table member": "create table ahead.member (like public.member including all); "
    "insert into ahead.member values ({number}, 'ann'), (2, 'cid')",
    "table ban": "create table ahead.ban (like public.ban including all); insert into ahead.ban values ('bob')",
    "table guest": "create table ahead.guest (like public.guest including all); "
    "insert into ahead.guest values ({number}, 'ANN')",
    "view circle": "create view ahead.circle as select {number} + 1 as org, person from public.member",
    "function me": "create function ahead.me() returns text language sql stable as "
    "$$ select coalesce(claim('as'), 'bob') $$",
}
"""By kind and name what hides an object of this name from functions with the path of AHEAD."""

PEOPLE = ("ann", "bob", "cid")
ORGS = (1, 2, 3)
_JSON = "current_setting('request.jwt.claims', true)::json"

# Subscribers have no privilege on these, so that no list shows how a setting spells them.
_HIDDEN = "seen timestamptz not null, day date, mail email"
_COLUMNS = f"id int, owner text not null, org int not null, level int, body text, extra text, {_HIDDEN}"
_EMAIL = (  # the embedded server has no ICU: spellings differ there, in an order of their own
    """do $$ begin
         create collation any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
       exception when feature_not_supported then create collation any_case from "C";
       end $$""",
    "create domain email as text collate any_case",
)

PLAIN = (
    *_EMAIL,
    f"create table note ({_COLUMNS}, primary key (id))",
    "create unique index note_other on note (id)",
)
PARTITIONED = (
    *_EMAIL,
    f"create table note ({_COLUMNS}, primary key (id, org)) partition by list (org)",
    "create table note_1 partition of note for values in (1)",
    "create table note_2 partition of note for values in (2) partition by range (id)",
    "create table note_2_few partition of note_2 for values from (minvalue) to (4)",
    "create table note_2_many partition of note_2 for values from (4) to (maxvalue)",
    "create table note_3 partition of note default",
)

SCHEMA = (
    "create table member (org int, person text, primary key (org, person))",
    "create table ban (person text primary key)",
    "create table guest (org int, mail email, primary key (org, mail))",
    "create view circle as select org, person from member",
    f"create function claim(name text) returns text language sql stable as $$ select {_JSON} ->> name $$",
    f"create function oneself(who text default {_JSON} ->> 'sub') returns text language sql stable as $$ select who $$",
    f"create function me() returns text language sql stable as $$ select {_JSON} ->> 'sub' $$",
    "create schema ahead",  # where names of functions are looked up first
    "create schema aside",
    f"create function knows(who text, what int) returns boolean language plpgsql stable {AHEAD} security definer as "
    "$$ begin return exists (select from member where person = who and org = what); end $$",
    f"create function my_orgs() returns setof int language sql stable {AHEAD} security definer as "
    "$$ select org from circle where person = me() $$",
    "create function shown(n note) returns boolean language sql stable as $$ select n.level > 1 or n.owner = me() $$",
    "create function not_banned(who text) returns boolean language sql stable "
    "begin atomic select not exists (select from ban where person = who); end",
    "create function invited(what int) returns boolean language sql stable security definer as "
    "$$ select exists (select from guest where mail = upper(me()) and org = what) $$",
    "create function now_or(day text) returns date language sql stable as $$ select coalesce(claim('day'), day)::date $$",
    "create table days (day text primary key)",
    "insert into guest values (1, 'ANN'), (2, 'bob'), (3, 'Ann')",
    "insert into member values (1, 'ann'), (1, 'bob'), (2, 'bob'), (3, 'cid')",
    "insert into days values ('02/01/2026')",
)
MAILS = ("ann", "ANN", "Bob", "bob", "cid")
DAYS = ("01/02/2026", "02/01/2026", "03/02/2026", "02/03/2026")
INSTANTS = ("2026-01-31 23:30Z", "2026-02-01 00:30Z", "2026-02-01 12:00Z", "2026-02-01 15:30Z", "2026-02-02 04:00Z")
SETTINGS = {
    "timezone": ("UTC", "Asia/Tokyo", "America/Los_Angeles"),
    "datestyle": ("ISO, MDY", "ISO, DMY", "SQL, DMY", "German"),
    "app.org": ("1", "2"),
}
"""What ALTER ROLE and ALTER DATABASE set. Every text of DAYS is a date under each, though not the same one."""

NOTE_CONDITIONS = (
    "true",
    "false",
    "owner = me()",
    "owner = oneself()",
    f"owner = {_JSON} ->> 'sub'",
    "org = claim('org')::int",
    f"org = ({_JSON} -> 'app' ->> 'org')::int",
    f"level <= coalesce(({_JSON} ->> 'level')::int, 0)",
    f"org::text in (select json_array_elements_text({_JSON} -> 'orgs'))",
    f"org = ({_JSON} #>> '{{app,org}}')::int",
    "owner = current_setting('request.jwt.' || 'claims', true)::json ->> 'sub'",
    "org in (select m.org from member m where m.person = me())",
    f"org in (select m.org from member m where m.person = {_JSON} ->> 'sub')",
    "exists (select from member m left join ban b using (person) where m.org = note.org and b.person is null)",
    "owner not in (select person from ban)",
    "not exists (select from ban where person = me())",
    "(select count(*) from member) > 3",
    "org in (select c.org from circle c where c.person = me())",
    "knows(me(), org)",
    "knows(owner, org) or owner = me()",
    "org in (select my_orgs())",
    "shown(note)",
    "not_banned(owner)",
    "current_user = '{people}'",
    "id % 3 = {number}",
    "id < 4 + {number}",
    "body is not null and level is distinct from {number}",
    # what the predicate language has, or nearly
    "owner in ('ann', 'bob')",
    "owner in ('ann', me(), null)",
    "owner not in ('cid', me())",
    "owner = any (array['ann', claim('as')])",
    "org <> all (array[{number}, null])",
    "org = any (select m.org from member m where m.person = me())",
    "id = any (array(select m.org from member m where m.person = me()))",
    "org <> all (select m.org from member m where m.person <> me())",
    "not (owner = me())",
    "not (level > {number} or owner = claim('as'))",
    "note.owner = me() or (level > 0 and not org = {number})",
    "owner is not distinct from claim('as')",
    "level is distinct from claim('level')::int",
    "(level > {number}) is true",
    "(owner = claim('as')) is not false",
    "(level > {number}) is null",
    "org between claim('org')::int and 3",
    "coalesce(level, {number}) > 0",
    "level::text = claim('level')",
    "owner::varchar(2) = left(me(), 2)",
    "owner like left(me(), 1) || '%'",
    "owner ilike 'A%' or owner not like '%b'",
    "lower(owner) = me()",
    'owner collate "C" < me()',
    "owner > me()",
    "(owner, org) in (select m.person, m.org from member m)",
    "row(owner, org) = row(me(), {number})",
    "exists (select from member m where m.org = note.org and m.person = me())",
    "exists (select 1 from member m where m.person = note.owner and m.org = claim('org')::int)",
    "exists (select from member m where m.person = note.owner and m.org = note.org)",
    "not exists (select from ban b where b.person = note.owner)",
    "org in (select m.org from member m where m.person = note.owner)",
    "owner = (select max(m.person) from member m where m.org = claim('org')::int)",
    "org = (select count(*) from member)",
    "case when level is null then owner = me() else org <> {number} end",
    "org::text = claim('org') or org::text = current_setting('request.jwt.claims', true)::jsonb ->> 'level'",
    "level >= all (select m.org from member m where m.person = me())",
    "claim('as') is null or owner = claim('as')",
    "owner = me() and (select count(*) from ban) < 2",
    # a domain whose collation finds other spellings equal
    "mail = me()",
    "mail = upper(me())",
    "mail in (me(), claim('as'))",
    "mail not in (upper(me()), 'x')",
    "mail is distinct from me()::email",
    "mail = any (array['ANN', 'Bob'])",
    "mail < upper(me())",
    "mail::text = me()",
    'mail = me() collate "C"',
    "owner = mail",
    "owner = upper(me())::email",
    "owner::email in (select g.mail from guest g where g.org = note.org)",
    "org in (select g.org from guest g where g.mail = upper(me()))",
    "org in (select g.org from guest g where g.mail::text = me())",
    "mail in (select g.mail from guest g)",
    "mail not in (select g.mail from guest g where g.org = {number})",
    "mail in (select m.person from member m where m.org = claim('org')::int)",
    "me() in (select g.mail from guest g where g.org = note.org)",
    "exists (select from guest g where g.mail = note.mail and g.org = note.org)",
    "exists (select from member m where m.person = note.mail)",
    "invited(org)",
    # what the settings of the role decide
    "day = claim('day')::date",
    "day <= claim('day')::date",
    "day in (select d.day::date from days d)",
    "day = any (array(select d.day::date from days d where d.day like '%/0{number}/%'))",
    "day::text = claim('day')",
    "day is distinct from ('0' || org || '/02/2026')::date",
    "seen >= claim('since')::timestamptz",
    "seen < (select max(d.day::date)::timestamptz from days d)",
    "seen::date = '2026-02-01'",
    "seen::date = claim('day')::date",
    "seen::text like '2026-02-01%'",
    "extract(hour from seen) > 11",
    "day = now_or('01/02/2026')",
    "claim('since')::timestamptz::date::text = day::text",
    "current_setting('app.org', true) = org::text",
    "org::text = coalesce(nullif(current_setting('app.org', true), ''), '1')",
)
# For a policy that reads one claim, and then another one, without which it shows more.
BY_SUB = (
    f"owner = {_JSON} ->> 'sub'",
    f"owner <> {_JSON} ->> 'sub'",
    "owner = oneself()",
    "org in (select m.org from member m where m.person = me())",
)
BY_OTHER_CLAIMS = (
    f"({_JSON} ->> 'as') is null",
    f"coalesce(owner <> {_JSON} ->> 'as', true)",
    f"({_JSON} ->> 'level') is null or level > 0",
    f"org <> coalesce(({_JSON} ->> 'org')::int, 0)",
    f"id > 2 and ({_JSON} ->> 'as') is null",
)
MEMBER_CONDITIONS = (
    "true",
    "false",
    "person = me()",
    "org = claim('org')::int",
    "not exists (select from ban b where b.person = member.person)",
    "org <> {number}",
)
BODIES = (
    (
        f"knows(who text, what int) returns boolean language plpgsql stable {AHEAD}",
        (
            "begin return exists (select from member where person = who and org = what); end",
            "begin return exists (select from circle where person = who and org = what); end",
            "begin return not exists (select from ban where person = who); end",
            "begin return what = claim('org')::int; end",
            "begin return what <> 1; end",
            "begin return exists (select from guest where mail = who and org = what); end",
        ),
    ),
    (
        f"my_orgs() returns setof int language sql stable {AHEAD}",
        (
            "select org from circle where person = me()",
            "select org from member where person = claim('sub')",
            "select 2",
            "select org from member where not exists (select from ban where person = me())",
        ),
    ),
    (
        "shown(n note) returns boolean language sql stable",
        (
            "select n.level > 1 or n.owner = me()",
            "select n.org in (select org from member where person = me())",
            "select n.owner not in (select person from ban)",
        ),
    ),
    (
        "me() returns text language sql stable",
        (
            f"select {_JSON} ->> 'sub'",
            f"select lower({_JSON} ->> 'sub')",
            f"select coalesce({_JSON} ->> 'as', {_JSON} ->> 'sub')",
        ),
    ),
)
VIEWS = (
    "select org, person from member",
    "select org, person from member where person not in (select person from ban)",
    "select org, person from member where org < 3",
)

QUERIES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"orderBy": ["id"]}, "select * from note order by id"),
    ({"orderBy": ["id"], "limit": 3}, "select * from note order by id limit 3"),
    ({"orderBy": [["id", "desc"]], "limit": 2}, "select * from note order by id desc limit 2"),
    ({"where": [["org", "==", 1]], "orderBy": ["owner", "id"]}, "select * from note where org = 1 order by owner, id"),
    (
        {"where": [["level", ">=", 1]], "orderBy": [["level", "desc"], "id"], "limit": 3},
        "select * from note where level >= 1 order by level desc, id limit 3",
    ),
    ({"select": ["org", "body"], "orderBy": ["owner", "id"]}, "select id, org, body from note order by owner, id"),
    (
        {"select": ["body", "org"], "where": [["org", "<", 3]], "orderBy": [["level", "desc"], "id"], "limit": 3},
        "select id, org, body from note where org < 3 order by level desc, id limit 3",
    ),
    *(
        ({"sql": sql}, sql)
        for sql in (
            "select id, body from note order by id",
            "select id, owner, body from note where org > 1 order by org, id limit 3",
            "select count(*) as n, sum(id) as total, max(body) as latest from note",
            "select org, count(*) as n, min(body) as first from note group by org order by org",
            "select n.id, n.body, m.person from note n join member m using (org) order by n.id, m.person",
            "select id, body, org + 2 as more from note where owner <> 'bob' order by id limit 4",
            "select o.org, (select max(n.body) from note n where n.org = o.org) as latest "
            "from (values (1), (2), (3)) o (org) order by 1",
            "select distinct owner from note order by owner",
        )
    ),
)


def random_claims(chance: random.Random, person: str) -> dict[str, Any]:
    """The claims of a token of ``person``."""
    claims: dict[str, Any] = {"sub": person, "org": chance.choice(ORGS), "app": {"org": chance.choice(ORGS)}}
    claims["orgs"] = chance.sample(ORGS, chance.randrange(3))
    if chance.random() < 0.5:
        claims["level"] = chance.randrange(3)
    if chance.random() < 0.2:
        claims["as"] = chance.choice(PEOPLE)
    claims["day"], claims["since"] = chance.choice(DAYS), chance.choice(("2026-02-01 00:00", "2026-02-01 12:00"))
    return claims
