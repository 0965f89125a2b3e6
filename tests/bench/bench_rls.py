"""Live queries under row-level security: subscribers of as many users over one table, which is changed as fast as it goes.

Each subscriber has a connection, a token and the query ``orderBy id desc limit 20``. Its policy is one of

* *owner*: the user's own rows;
* *membership*: the rows of the teams in whose membership table the user is; each team has ``--team`` members;
* *opaque*: the same by PL/pgSQL functions, one of them of the row, so that only PostgreSQL can judge. It is cheap there: an
  index finds the rows.

pgbench inserts rows, one a transaction, first as fast as it can, then at half the rate that was followed. A run ends when
each subscriber has the last row that it may see: *changes/s* are those until then, and *deliveries/s* the rows that were
received. The last rows are one transaction, with a row for each user; their latencies do not count. What a re-read query
does not show (a row that is beyond its limit again after one interval) is in *received %*. *joined CPU s* is that of the
server and of PostgreSQL. The *curve* has a fixed number of subscribers with fewer and fewer users. Run with
``python -m tests.bench.bench_rls``.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from typing import Any

import psycopg
import uvloop

from server.cli.local_postgres import LocalPostgres
from tests.bench.parts.load_rls import COLLECTION
from tests.bench.parts.processes import Child, Cpu, local_postgres, percentile, pgbench, postmaster
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.ports import free_port
from tests.support.servers.processes import serving_measured
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET

LIMIT = 20
_ME = "current_setting('request.jwt.claims', true)::json ->> 'sub'"
_TEAMS = f"team in (select m.team from membership m where m.person = {_ME})"
_POLICIES = {"owner": f"owner = ({_ME})", "membership": _TEAMS, "opaque": "team = my_team() and is_shown(id)"}
_SCHEMA = f"""
    create table {COLLECTION} (id bigint generated always as identity primary key, owner text not null, team int not null,
        body text not null, at double precision not null default extract(epoch from clock_timestamp()));
    create index on {COLLECTION} (owner, id);
    create index on {COLLECTION} (team, id);
    create table membership (person text, team int, primary key (person, team));
    create function my_team() returns int language plpgsql stable as $$
      begin return (select m.team from membership m where m.person = {_ME}); end $$;
    create function is_shown(note bigint) returns boolean language plpgsql stable as $$ begin return note > 0; end $$;
    grant select on {COLLECTION}, membership to member;
    alter table {COLLECTION} enable row level security;
    select realtime.serve_role('member');
"""
_INSERT = """\\set user random(0, {last})
insert into note (owner, team, body)
  values ('user-' || :user, :user / {team}, 'a note of about the length of a message in a chat');
"""
_UNLIMITED = {
    "max_connections_per_user": 100_000,
    "max_connections_per_ip": 100_000,
    "max_connection_rate": 1_000_000,
}


@dataclass(frozen=True)
class Case:
    """``subscribers`` of ``users`` distinct users under ``policy``; ``team`` users see each row unless it is the owner's."""

    policy: str
    subscribers: int
    users: int
    team: int

    @property
    def seen_by(self) -> float:
        """How many subscribers see a row."""
        users = 1 if self.policy == "owner" else min(self.team, self.users)
        return users * self.subscribers / self.users


class Bench:
    """One PostgreSQL; a server for each case."""

    def __init__(self, postgres: LocalPostgres, seconds: float, loads: int, clients: int) -> None:
        self.lines: list[dict[str, object]] = []
        self._postgres = postgres
        self._seconds = seconds
        self._loads = loads
        self._clients = clients
        self._last = ""

    async def run(self, case: Case, rate: float | None, most: float) -> None:
        """Measure ``case`` at ``rate``, or less for ``most`` deliveries a second; without rate as fast as it goes, then at
        half of that.
        """
        dsn = self._prepared(case)
        if case.seen_by * (rate or float("inf")) > most:
            rate = most / case.seen_by
        speed = await self._measure(dsn, case, rate)
        if rate is None:
            await self._measure(dsn, case, max(1.0, speed / 2))

    def _prepared(self, case: Case) -> str:
        dsn = fresh_database(self._postgres)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("do $$ begin create role member; exception when duplicate_object then null; end $$")
            connection.execute(_SCHEMA.encode())
            connection.execute(
                "insert into membership select 'user-' || n, n / %s from generate_series(0, %s) n",
                [case.team, case.users - 1],
            )
            policy = f"create policy reading on {COLLECTION} for select to member using ({_POLICIES[case.policy]})"
            connection.execute(policy.encode())
            connection.execute("select realtime.expose(%s)", [COLLECTION])
            connection.execute("vacuum analyze")
        return dsn

    async def _measure(self, dsn: str, case: Case, rate: float | None) -> float:
        """One line; returns how many changes a second were followed."""
        before = self._visible(dsn, case)
        self._last = f"the last row of run {len(self.lines)}"
        issuers = [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}]
        async with serving_measured(dsn, free_port(), ephemeral=True, auth_issuers=issuers, **_UNLIMITED) as server:
            joining = time.time()
            server_cpu, database_cpu = Cpu(server.process.pid), Cpu(postmaster(self._postgres))
            loads = await self._loaded(case, server.websocket)
            joined = time.time() - joining
            joined_cpu = f"{server_cpu.seconds():.1f} + {database_cpu.seconds():.1f}"
            server_cpu, database_cpu = Cpu(server.process.pid), Cpu(postmaster(self._postgres))
            began = time.time()
            for load in loads:
                load.send("go")
            written = await self._written(dsn, case, rate)
            seen = [await load.receive() for load in loads]
            took = max(each["last"] for each in seen) - began
            cpu = server_cpu.seconds() / took, database_cpu.seconds() / took
            for load in loads:
                await load.end()
        speed: float = written[1] / took
        offered = {"offered/s": "max" if rate is None else f"{rate:,.0f}", "written/s": round(written[0])}
        self.lines.append(
            {"policy": case.policy, "subscribers": case.subscribers, "distinct": case.users, **offered}
            | {"changes/s": round(speed), **received(seen, took, self._visible(dsn, case) - before)}
            | {"CPU server": cpu[0], "CPU Postgres": cpu[1]}
            | {"deliveries per CPU s": round(sum(each["rows"] for each in seen) / took / max(cpu[0], 0.001))}
            | {"CPU clients": sum(each["cpu"] for each in seen) / took, "joined s": joined, "joined CPU s": joined_cpu}
        )
        print(self.lines[-1], flush=True)
        return speed

    async def _written(self, dsn: str, case: Case, rate: float | None) -> tuple[float, int]:
        """Insert; rows a second, and how many."""
        script = _INSERT.format(last=case.users - 1, team=case.team)
        written = await asyncio.to_thread(
            pgbench, self._postgres, dsn, script, clients=self._clients, seconds=self._seconds, rate=rate
        )
        await asyncio.to_thread(self._end, dsn, case)
        return written

    async def _loaded(self, case: Case, url: str) -> list[Child]:
        shares = [
            range(n * case.subscribers // self._loads, (n + 1) * case.subscribers // self._loads)
            for n in range(self._loads)
        ]
        loads = [
            await Child.start(
                "tests.bench.parts.load_rls",
                url=url,
                role="member",
                first=share.start,
                count=len(share),
                users=case.users,
                limit=LIMIT,
                last=self._last,
                every=max(1, round(case.subscribers / 250)),
            )
            for share in shares
        ]
        for load in loads:
            await load.receive()
        return loads

    def _end(self, dsn: str, case: Case) -> None:
        """A row that each subscriber sees at least one of."""
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "insert into note (owner, team, body) select 'user-' || n, n / %s, %s from generate_series(0, %s) n",
                [case.team, self._last, case.users - 1],
            )

    def _visible(self, dsn: str, case: Case) -> int:
        """How many of the rows that there are each subscriber may see, summed up."""
        with psycopg.connect(dsn) as connection:
            row = connection.execute("select count(*) from note").fetchone()
            assert row is not None
            count: int = row[0]
            return round(count * case.seen_by)


def received(seen: list[dict[str, Any]], took: float, visible: int) -> dict[str, object]:
    """What the subscribers received of ``visible`` rows."""
    taken = [seconds for each in seen for seconds in each["taken"]]
    rows = sum(each["rows"] for each in seen)
    ended = [text for each in seen for text in each["ended"]]
    if ended:
        print(f"{len(ended)} connections ended, the first one: {ended[0]}")
    return {
        "deliveries/s": round(rows / took),
        "received %": 100 * rows / visible,
        "missing": sum(each["missing"] for each in seen),
        "p50 ms": percentile(taken, 50),
        "p95 ms": percentile(taken, 95),
        "p99 ms": percentile(taken, 99),
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--policies", nargs="+", choices=_POLICIES, default=list(_POLICIES))
    parser.add_argument("--subscribers", type=int, nargs="+", default=[500, 5_000])
    parser.add_argument("--distinct", type=int, nargs="*", default=[1, 50, 500, 5_000], help="users of the curve")
    parser.add_argument("--team", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, help="changes a second; by default as fast as it goes, then half of it")
    parser.add_argument("--curve-rate", type=float, default=500, help="changes a second of the curve")
    parser.add_argument("--most", type=float, default=100_000, help="deliveries a second that are offered at most")
    parser.add_argument("--loads", type=int, default=2, help="processes with subscribers")
    parser.add_argument("--clients", type=int, default=8, help="connections of pgbench")
    chosen = parser.parse_args()
    most = max(chosen.subscribers)
    with local_postgres() as postgres:
        bench = Bench(postgres, chosen.seconds, chosen.loads, chosen.clients)
        for policy in chosen.policies:
            for subscribers in chosen.subscribers:
                uvloop.run(bench.run(Case(policy, subscribers, subscribers, chosen.team), chosen.rate, float("inf")))
        if bench.lines:
            report("rls", bench.lines)
        bench.lines = []
        for policy in chosen.policies if chosen.distinct else ():
            for users in chosen.distinct:
                uvloop.run(bench.run(Case(policy, most, min(users, most), chosen.team), chosen.curve_rate, chosen.most))
        if bench.lines:
            report("rls_curve", bench.lines)


if __name__ == "__main__":
    main()
