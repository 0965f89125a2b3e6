"""Random statements that change rows, what policies look at, policies, rights and definitions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.oracle.policies.vocabulary import (
    BODIES,
    BY_OTHER_CLAIMS,
    BY_SUB,
    DAYS,
    HIDING,
    INSTANTS,
    MAILS,
    MEMBER_CONDITIONS,
    NOTE_CONDITIONS,
    ORGS,
    PEOPLE,
    SETTINGS,
    VIEWS,
)

__all__ = ["Changes"]


@dataclass
class Changes:
    """Makes random statements. ``people`` and ``staff`` are the roles; ``holder`` owns functions and tables.

    Each row version has a text of its own in ``body``. ``hidden``: only ``note`` is exposed, and again in each transaction
    that changes what its policies read.
    ``partitions``: of ``note``, whose key is then (id, org). ``version``: of the server.
    """

    chance: random.Random
    people: str
    staff: str
    holder: str
    version: int
    hidden: bool = False
    partitions: tuple[str, ...] = ()
    database: str = ""
    rows: int = 0
    hiding: dict[str, str] = field(default_factory=dict)  # the schema of each object of HIDING that there is
    policies: dict[str, set[str]] = field(default_factory=lambda: {"note": set(), "member": set()})

    # -- rows ------------------------------------------------------------------------------------------------------

    def row(self) -> str:
        """A statement that changes rows of ``note``."""
        chance, number = self.chance, self.chance.randrange(1, 10)
        kind = chance.randrange(21)
        if kind < 8:
            return self.put(number)
        if kind < 15:
            owner, org, level, seen, day, mail = self._values()
            of_time = f"(seen, day) = ({seen}, {day})"
            assignment = chance.choice(
                (f"owner = {owner}", f"org = {org}", f"level = {level}", "id = id", of_time, f"mail = {mail}")
            )
            body = self._body()
            return f"update note set {assignment}, body = {body}, extra = {body} where id = {number}"
        if kind < 17:
            new = chance.randrange(1, 10)
            return (
                f"update note set id = {new}, body = {self._body()} where id = {number} "
                f"and not exists (select from note n where n.id = {new})"
            )
        if kind < 19:
            org, body = chance.choice(ORGS), self._body()
            return f"update note set org = {org}, body = {body} || '.' || id, extra = null where org = {chance.choice(ORGS)}"
        return f"delete from note where id = {number}"

    def put(self, number: int) -> str:
        """A statement that inserts or replaces the row ``number``."""
        (owner, org, level, seen, day, mail), body = self._values(), self._body()
        return (
            f"with kept as (update note set (owner, org, level, body, extra, seen, day, mail) = "
            f"({owner}, {org}, {level}, {body}, {body}, {seen}, {day}, {mail}) where id = {number} returning id) "
            f"insert into note select {number}, {owner}, {org}, {level}, {body}, {body}, {seen}, {day}, {mail} "
            f"where not exists (select from kept)"
        )

    def versions(self) -> list[str]:
        """Several versions of one row, seen and not seen in turn; perhaps it is gone in between, or at the end."""
        number, chance = self.chance.randrange(1, 10), self.chance
        gone = f"delete from note where id = {number}"
        return [gone if chance.random() < 0.2 else self.put(number) for _ in range(chance.choice((2, 3, 4)))]

    def _values(self) -> tuple[str, int, str, str, str, str]:
        chance = self.chance
        seen, day = (
            f"timestamptz '{chance.choice(INSTANTS)}'",
            f"date '2026-0{chance.choice((1, 2, 3))}-0{chance.choice((1, 2))}'",
        )
        return (
            f"'{chance.choice(PEOPLE)}'",
            chance.choice(ORGS),
            chance.choice(("null", "0", "1", "2")),
            seen,
            chance.choice(("null", day, day, day)),
            chance.choice(("null", *(f"'{mail}'" for mail in MAILS))),
        )

    def _body(self) -> str:
        self.rows += 1
        return f"'v{self.rows:05}'"

    def looked_at(self) -> str:
        """A statement that changes rows of what policies look at."""
        chance = self.chance
        person, org = chance.choice(PEOPLE), chance.choice(ORGS)
        if self.hiding.get("table member") == "ahead" and chance.random() < 0.3:
            put = f"insert into ahead.member values ({org}, '{person}') on conflict do nothing"
            return chance.choice((put, put, f"delete from ahead.member where person = '{person}'"))
        return chance.choice(
            (
                f"insert into member values ({org}, '{person}') on conflict do nothing",
                f"insert into member values ({org}, '{person}') on conflict do nothing",
                f"delete from member where org = {org} and person = '{person}'",
                f"delete from member where person = '{person}'",
                f"update member set org = {org} where person = '{person}' and org = (select max(org) from member m "
                f"where m.person = '{person}') and not exists "
                f"(select from member m where m.person = '{person}' and m.org = {org})",
                f"update member set person = '{person}' where person = '{chance.choice(PEOPLE)}' and org = {org} "
                f"and not exists (select from member m where m.person = '{person}' and m.org = {org})",
                f"insert into ban values ('{person}') on conflict do nothing",
                f"delete from ban where person = '{person}'",
                f"insert into days values ('{chance.choice(DAYS)}') on conflict do nothing",
                f"delete from days where day = '{chance.choice(DAYS)}'",
                f"insert into guest values ({org}, '{chance.choice(MAILS)}') on conflict do nothing",
                f"update guest set mail = '{chance.choice(MAILS)}' where org = {org} "
                f"and (select count(*) from guest g where g.org = {org}) = 1",
                f"delete from guest where mail = '{chance.choice(MAILS)}'",
                chance.choice(("truncate member", "truncate ban", "truncate guest")),
            )
        )

    # -- policies and rights ---------------------------------------------------------------------------------------

    def policy(self) -> str:
        """A statement that creates, alters or drops a policy."""
        chance = self.chance
        table = chance.choice(("note", "note", "note", "member"))
        known = self.policies[table]
        both = f"{self.people}, {self.staff}"
        roles = chance.choice((self.people, self.staff, "public", both, self.holder))
        condition = self.condition(NOTE_CONDITIONS if table == "note" else MEMBER_CONDITIONS)
        kind = chance.randrange(9)
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

    def by_sub(self) -> list[str]:
        """Statements after which one policy of ``note`` reads one claim, and nothing else reads any."""
        dropped = [f"drop policy {name} on {table}" for table, names in self.policies.items() for name in sorted(names)]
        self.policies = {"note": {"p0"}, "member": set()}
        created = f"create policy p0 on note to {self.people}, {self.staff} using ({self.chance.choice(BY_SUB)})"
        return [*dropped, created, *self._exposed]

    def by_other_claims(self) -> list[str]:
        """Statements after which that policy reads others."""
        return [f"alter policy p0 on note using ({self.chance.choice(BY_OTHER_CLAIMS)})", *self._exposed]

    @property
    def _exposed(self) -> list[str]:
        return ["select realtime.expose('note')"] if self.hidden else []

    def condition(self, conditions: Sequence[str]) -> str:
        """One of ``conditions``."""
        found = self.chance.choice(conditions)
        return found.replace("{number}", str(self.chance.randrange(3))).replace("{people}", self.people)

    def beginning(self) -> list[str]:
        """Rows, and policies under which both roles see some of them: one of any kind, one that looks at other tables."""
        looking = [each for each in NOTE_CONDITIONS if " from " in each]
        self.policies["note"] |= {"p0", "p1"}
        return [
            *map(self.put, range(1, 8)),
            *(
                f"create policy {name} on note to {self.people}, {self.staff} using ({self.condition(conditions)})"
                for name, conditions in (("p0", NOTE_CONDITIONS), ("p1", looking))
            ),
            *self._exposed,
        ]

    def definition(self) -> str:
        """A statement that changes something else that decides which rows are seen."""
        chance = self.chance
        if chance.random() < 0.25:
            return self.hide()
        table = chance.choice(("note", "member"))
        signature, bodies = chance.choice(BODIES)
        owner = chance.choice((self.holder, self.holder, self.people, self.staff, "current_user"))
        definer = chance.choice(("security definer", "security invoker"))
        known = chance.choice(("knows", "my_orgs", "invited", "not_banned", "shown"))
        function = f"create or replace function {signature} {definer} as $$ {chance.choice(bodies)} $$"
        invoker = f"alter view circle set (security_invoker = {chance.choice(('true', 'false'))})"
        return chance.choice(
            (
                f"alter table {table} disable row level security",
                *[f"alter table {table} enable row level security"] * 2,
                f"alter table {table} force row level security",
                f"alter table {table} no force row level security",
                *[function] * 3,
                f"alter function {known} {definer}",
                *[f"alter function {known} owner to {owner}"] * 2,
                # a former owner has no privilege left
                f"alter table member owner to {owner}; grant select on member to {self._all}",
                f"create or replace view circle as {chance.choice(VIEWS)}",
                f"alter view circle owner to {owner}; grant select on circle to {self._all}",
                invoker if self.version >= 15 else function,
                *[self.privilege()] * 2,
                self.identity(),
                self.of_a_partition() if self.partitions else function,
            )
        )

    def hide(self) -> str:
        """A statement after which a name in functions means another object: by one that comes, goes, or moves."""
        chance = self.chance
        named = chance.choice(sorted(HIDING))
        here = self.hiding.get(named)
        kind, name = named.split()
        if here is None:
            self.hiding[named] = "ahead"
            return f"{HIDING[named].replace('{number}', str(chance.randrange(3)))}; {self._granted(kind, name)}"
        if chance.random() < 0.4:
            del self.hiding[named]
            return f"drop {kind} {here}.{name}"
        there = self.hiding[named] = "aside" if here == "ahead" else "ahead"
        return f"alter {kind} {here}.{name} set schema {there}"

    def _granted(self, kind: str, name: str) -> str:
        return "select" if kind == "function" else f"grant select on ahead.{name} to {self._all}"

    @property
    def _all(self) -> str:
        return f"{self.people}, {self.staff}, {self.holder}"

    def privilege(self) -> str:
        """A statement that gives a role a column or takes it away."""
        column = self.chance.choice(("extra", "extra", "level", "body"))
        role = self.chance.choice((self.people, self.staff))
        return self.chance.choice(
            (
                f"revoke select ({column}) on note from {role}",
                *[f"grant select ({column}) on note to {role}"] * 2,
            )
        )

    def identity(self) -> str:
        """A statement that changes what the WAL has of old rows."""
        identities = ("full", "default") if self.partitions else ("full", "default", "using index note_other")
        table = self.chance.choice(self.partitions or ("note",))
        return f"alter table {table} replica identity {self.chance.choice(identities)}"

    def of_a_partition(self) -> str:
        """A statement about policies of a partition, which are without effect on queries of its parent."""
        partition, chance = self.chance.choice(self.partitions), self.chance
        created = (
            f"create policy p on {partition} as {chance.choice(('permissive', 'restrictive'))} using (owner = me())"
        )
        return chance.choice(
            (
                f"drop policy if exists p on {partition}; {created}",
                f"drop policy if exists p on {partition}",
                f"alter table {partition} {chance.choice(('enable', 'enable', 'disable'))} row level security",
            )
        )

    def unannounced(self) -> str:
        """A statement that changes who has which rights, or the settings of sessions, and fires no event trigger."""
        return self.chance.choice(
            (
                *[self.setting() for _ in range(3)],
                *[self.power_of_the_holder() for _ in range(3)],
                *[self.membership() for _ in range(3 if self.version >= 16 else 0)],
                f"grant {self.staff} to {self.people}",
                f"revoke {self.staff} from {self.people}",
                f"alter role {self.chance.choice((self.people, self.staff))} bypassrls",
                *[f"alter role {role} nobypassrls" for role in (self.people, self.staff)],
                f"alter role {self.people} {self.chance.choice(('inherit', 'noinherit'))}",
            )
        )

    def power_of_the_holder(self) -> str:
        """A statement after which functions and tables of ``holder`` read other rows."""
        powers = ("superuser", "nosuperuser", "nosuperuser", "bypassrls", "nobypassrls")
        return f"alter role {self.holder} {self.chance.choice(powers)}"

    def membership(self) -> str:
        """A statement about what a membership allows, which is an option of each since PostgreSQL 16."""
        chance = self.chance
        group, member = chance.choice(
            ((self.staff, self.people), (self.holder, self.people), (self.holder, self.staff))
        )
        option = chance.choice(("inherit", "inherit", "set", "admin"))
        return chance.choice(
            (
                *[f"grant {group} to {member} with {option} {chance.choice(('true', 'false'))}"] * 3,
                f"revoke {option} option for {group} from {member}",
                f"revoke {group} from {member}",
            )
        )

    def setting(self) -> str:
        """A statement that changes what sessions of a role, or of all, are set to."""
        chance = self.chance
        whose = chance.choice(
            (
                f"role {self.people}",
                f"role {self.staff}",
                f"role {self.people} in database {self.database}",
                f"database {self.database}",
            )
        )
        name = chance.choice(sorted(SETTINGS))
        if chance.random() < 0.25:
            return f"alter {whose} reset {chance.choice((name, 'all'))}"
        return f"alter {whose} set {name} to '{chance.choice(SETTINGS[name])}'"

    def transaction(self) -> list[str]:
        """The statements of one transaction."""
        chance = self.chance
        kind = chance.random()
        if kind < 0.17:
            return self.versions() if kind < 0.15 else ["truncate note"]
        kinds = chance.choices(
            (self.row, self.looked_at, self.policy, self.definition), (6, 4, 2, 1), k=chance.choice((1, 1, 2, 3))
        )
        statements = [make() for make in kinds]
        if self.hidden and (self.policy in kinds or self.definition in kinds):
            statements.append("select realtime.expose('note')")
        return statements
