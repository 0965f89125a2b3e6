"""Random changes of policies, of what they look at, and of rows; random queries."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

__all__ = ["QUERIES", "SCHEMA", "Changes", "random_claims"]

PEOPLE = ("ann", "bob", "cid")
ORGS = (1, 2, 3)
_JSON = "current_setting('request.jwt.claims', true)::json"

SCHEMA = (
    "create table note (id int primary key, owner text not null, org int not null, level int, body text, extra text)",
    "create table member (org int, person text, primary key (org, person))",
    "create table ban (person text primary key)",
    "create view circle as select org, person from member",
    f"create function claim(name text) returns text language sql stable as $$ select {_JSON} ->> name $$",
    f"create function me() returns text language sql stable as $$ select {_JSON} ->> 'sub' $$",
    "create function knows(who text, what int) returns boolean language plpgsql stable security definer as "
    "$$ begin return exists (select from member where person = who and org = what); end $$",
    "create function my_orgs() returns setof int language sql stable security definer as "
    "$$ select org from circle where person = me() $$",
    "create function shown(n note) returns boolean language sql stable as $$ select n.level > 1 or n.owner = me() $$",
    "create function not_banned(who text) returns boolean language sql stable "
    "begin atomic select not exists (select from ban where person = who); end",
    "insert into member values (1, 'ann'), (1, 'bob'), (2, 'bob'), (3, 'cid')",
)

_NOTE_CONDITIONS = (
    "true",
    "false",
    "owner = me()",
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
)
_MEMBER_CONDITIONS = (
    "true",
    "false",
    "person = me()",
    "org = claim('org')::int",
    "not exists (select from ban b where b.person = member.person)",
    "org <> {number}",
)
_BODIES = (
    (
        "knows(who text, what int) returns boolean language plpgsql stable",
        (
            "begin return exists (select from member where person = who and org = what); end",
            "begin return exists (select from circle where person = who and org = what); end",
            "begin return not exists (select from ban where person = who); end",
            "begin return what = claim('org')::int; end",
            "begin return what <> 1; end",
        ),
    ),
    (
        "my_orgs() returns setof int language sql stable",
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
_VIEWS = (
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
    return claims


@dataclass
class Changes:
    """Makes random statements. ``people`` and ``staff`` are the roles; ``holder`` owns functions and tables.

    Each row version has a text of its own in ``body``. ``hidden``: only ``note`` is exposed, and again in each transaction
    that changes what its policies read; clients' SQL may then not be under policies for ``public``.
    """

    chance: random.Random
    people: str
    staff: str
    holder: str
    hidden: bool = False
    version: int = 0
    policies: dict[str, set[str]] = field(default_factory=lambda: {"note": set(), "member": set()})

    def row(self) -> str:
        """A statement that changes rows of ``note``."""
        chance, where = self.chance, f"id = {self.chance.randrange(1, 10)}"
        self.version += 1
        body = f"'v{self.version:05}'"
        owner, org, level = f"'{chance.choice(PEOPLE)}'", chance.choice(ORGS), chance.choice(("null", "0", "1", "2"))
        kind = chance.randrange(10)
        if kind < 4:
            return (
                f"insert into note values ({where[5:]}, {owner}, {org}, {level}, {body}, {body}) on conflict (id) do update "
                "set (owner, org, level, body, extra) = "
                "(excluded.owner, excluded.org, excluded.level, excluded.body, excluded.extra)"
            )
        if kind < 8:
            assignment = chance.choice((f"owner = {owner}", f"org = {org}", f"level = {level}", "id = id"))
            return f"update note set {assignment}, body = {body}, extra = {body} where {where}"
        if kind == 8:
            return f"update note set org = {org}, body = {body} || '.' || id, extra = null where org = {chance.choice(ORGS)}"
        return f"delete from note where {where}"

    def looked_at(self) -> str:
        """A statement that changes rows of what policies look at."""
        chance = self.chance
        person, org = chance.choice(PEOPLE), chance.choice(ORGS)
        return chance.choice(
            (
                f"insert into member values ({org}, '{person}') on conflict do nothing",
                f"insert into member values ({org}, '{person}') on conflict do nothing",
                f"delete from member where org = {org} and person = '{person}'",
                f"delete from member where person = '{person}'",
                f"update member set org = {org} where person = '{person}' and org = (select max(org) from member m "
                f"where m.person = '{person}') and not exists "
                f"(select from member m where m.person = '{person}' and m.org = {org})",
                f"insert into ban values ('{person}') on conflict do nothing",
                f"delete from ban where person = '{person}'",
                chance.choice(("truncate member", "truncate ban")),
            )
        )

    def policy(self) -> str:
        """A statement that creates, alters or drops a policy."""
        chance = self.chance
        table = chance.choice(("note", "note", "note", "member"))
        known = self.policies[table]
        both = f"{self.people}, {self.staff}"
        roles = chance.choice((self.people, self.staff, both if self.hidden else "public", both, self.holder))
        condition = chance.choice(_NOTE_CONDITIONS if table == "note" else _MEMBER_CONDITIONS)
        condition = condition.replace("{number}", str(chance.randrange(3))).replace("{people}", self.people)
        kind = chance.randrange(8)
        if known and kind in (0, 1):
            return f"alter policy {chance.choice(sorted(known))} on {table} using ({condition})"
        if known and kind == 2:
            return f"alter policy {chance.choice(sorted(known))} on {table} to {roles}"
        if len(known) > 3 or (known and kind == 3):
            name = chance.choice(sorted(known))
            known.remove(name)
            return f"drop policy {name} on {table}"
        name = chance.choice(sorted({f"p{number}" for number in range(6)} - known))
        known.add(name)
        strictness = chance.choice(("permissive", "permissive", "restrictive"))
        command = chance.choice(("all", "select"))
        return f"create policy {name} on {table} as {strictness} for {command} to {roles} using ({condition})"

    def definition(self) -> str:
        """A statement that changes something else that decides which rows are seen."""
        chance = self.chance
        table = chance.choice(("note", "member"))
        signature, bodies = chance.choice(_BODIES)
        owner = chance.choice((self.holder, "current_user"))
        definer = chance.choice(("security definer", "security invoker"))
        return chance.choice(
            (
                f"alter table {table} disable row level security",
                f"alter table {table} enable row level security",
                f"alter table {table} enable row level security",
                f"alter table {table} force row level security",
                f"alter table {table} no force row level security",
                f"create or replace function {signature} {definer} as $$ {chance.choice(bodies)} $$",
                f"create or replace function {signature} {definer} as $$ {chance.choice(bodies)} $$",
                f"alter function {chance.choice(('knows', 'my_orgs'))} {definer}",
                f"alter function {chance.choice(('knows', 'my_orgs'))} owner to {owner}",
                f"alter table member owner to {owner}",
                f"create or replace view circle as {chance.choice(_VIEWS)}",
                f"alter view circle owner to {owner}",
                f"revoke select (extra) on note from {chance.choice((self.people, self.staff))}",
                f"grant select (extra) on note to {chance.choice((self.people, self.staff))}",
            )
        )

    def transaction(self) -> list[str]:
        """The statements of one transaction."""
        kinds = self.chance.choices(
            (self.row, self.looked_at, self.policy, self.definition), (6, 4, 2, 1), k=self.chance.choice((1, 1, 2, 3))
        )
        statements = [make() for make in kinds]
        if self.hidden and (self.policy in kinds or self.definition in kinds):
            statements.append("select realtime.expose('note')")
        return statements
