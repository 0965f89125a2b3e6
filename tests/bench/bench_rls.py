"""Live queries under row-level security: subscribers of as many users over one table, and the highest rate that they follow.

Each subscriber has a connection, a token and the query ``orderBy id desc limit 20``. Its policy is one of

* *owner*: the user's own rows;
* *membership*: the rows of the teams in whose membership table the user is; each team has ``--team`` members;
* *opaque*: the same by PL/pgSQL functions, one of them of the row, so that only PostgreSQL can judge. It is cheap there: an
  index finds the rows.

pgbench inserts rows, one a transaction, in rounds of ``--seconds``. ``tests.bench.parts.search_rate`` looks for the highest
rate that is *sustained*: each subscriber has its last row, and p95 from a row's ``clock_timestamp()`` to the client is below
``--p95``. A round ends with a transaction that has rows for all users; their latencies do not count. *deliveries/s* are the
rows received, *per CPU s* those per second of the server's processor. *floor* is a bare picows server that writes as many
bytes to as many sockets at the same rate (``tests.bench.parts.floor_rls``), and *ratio* how much processor time a delivery
costs the server as a multiple of that. *joined CPU s* is that of server and PostgreSQL for connecting and subscribing.

The *curves* have a fixed rate: 500 subscribers of fewer and fewer users, and more and more subscribers of ``--visibilities``
users. Run with ``python -m tests.bench.bench_rls``.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import uvloop

from server.bench.load.child import Child
from server.bench.load.search import Sustained, highest_sustained
from server.bench.load.usage import Cpu
from server.cli.local_postgres import LocalPostgres
from tests.bench.parts.load_rls import COLLECTION
from tests.bench.parts.processes import local_postgres, percentile, pgbench, postmaster
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


@dataclass(frozen=True)
class Round:
    """What one round offers, and how it is judged."""

    rate: float
    seconds: float
    p95: float


Measure = Callable[[Round], Awaitable[dict[str, object]]]


class Bench:
    """One PostgreSQL; a server for each case, which all of its rounds use."""

    def __init__(self, postgres: LocalPostgres, loads: int, clients: int) -> None:
        self._postgres = postgres
        self._loads = loads
        self._clients = clients
        self._rounds = 0

    async def highest(self, case: Case, first: Round, rounds: int) -> dict[str, object]:
        """The line of the highest sustained rate, with its floor; ``first``: where the search begins."""
        async with self._joined(case) as measure:

            async def sustained(rate: float) -> Sustained:
                line = await measure(Round(rate, first.seconds, first.p95))
                followed = float(str(line["changes/s"])) > 0.9 * rate
                return Sustained(bool(line["sustained"]), followed, line)

            found = await highest_sustained(sustained, first.rate, rounds)
            line, limit = found.line, "" if found.followed else "pgbench"
        floor = await self._floor(case, float(str(line["changes/s"])), first.seconds)
        ratio = floor / max(1.0, float(str(line["per CPU s"])))
        return {**line, "limited by": limit, "floor per CPU s": round(floor), "ratio": ratio}

    async def at(self, case: Case, offered: Round) -> dict[str, object]:
        """The line of one rate."""
        async with self._joined(case) as measure:
            return await measure(offered)

    @asynccontextmanager
    async def _joined(self, case: Case) -> AsyncIterator[Measure]:
        """A server with all subscribers; gives the function that plays a round and returns its line."""
        dsn = self._prepared(case)
        issuers = [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}]
        async with serving_measured(dsn, free_port(), ephemeral=True, auth_issuers=issuers, **_UNLIMITED) as server:
            joining = time.time()
            cpus = Cpu(server.process.pid), Cpu(postmaster(self._postgres))
            loads = await self._loaded(case, server.websocket)
            took, costs = time.time() - joining, [cpu.seconds() for cpu in cpus]
            joined = {"joined s": took, "joined CPU s": f"{costs[0]:.1f} + {costs[1]:.1f}"}

            async def measure(offered: Round) -> dict[str, object]:
                line = await self._measure(dsn, case, offered, loads, server.process.pid)
                print(line, flush=True)
                return line | joined

            yield measure
            for load in loads:
                await load.end()

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

    async def _measure(
        self, dsn: str, case: Case, offered: Round, loads: list[Child], server: int
    ) -> dict[str, object]:
        last = self._next_last()
        cpus = Cpu(server), Cpu(postmaster(self._postgres))
        began = time.time()
        for load in loads:
            load.send(last)
        script = _INSERT.format(last=case.users - 1, team=case.team)
        speed, count = await asyncio.to_thread(
            pgbench, self._postgres, dsn, script, clients=self._clients, seconds=offered.seconds, rate=offered.rate
        )
        rows = count * case.seen_by + await asyncio.to_thread(self._end, dsn, case, last)
        seen = [await load.receive() for load in loads]
        took = max(each["last"] for each in seen) - began
        busy = [cpu.seconds() / took for cpu in cpus]
        received, missing = sum(each["rows"] for each in seen), sum(each["missing"] for each in seen)
        times = {f"p{percent} ms": latency(seen, percent) for percent in (50, 95, 99)}
        return {
            "policy": case.policy,
            "subscribers": case.subscribers,
            "distinct": case.users,
            "offered/s": offered.rate,
            "sustained": not missing and times["p95 ms"] < offered.p95,
            "changes/s": round(speed),
            "deliveries/s": round(speed * case.seen_by),
            "received %": 100 * received / rows,
            **times,
            "CPU server": busy[0],
            "CPU Postgres": busy[1],
            "CPU clients": sum(each["cpu"] for each in seen) / took,
            "per CPU s": round(received / took / max(busy[0], 0.001)),
            "us per change": 1e6 * busy[0] * took / count,
        }

    async def _floor(self, case: Case, rate: float, seconds: float) -> float:
        """Deliveries per second of the processor of a server that only writes."""
        port = free_port()
        server = await Child.start("tests.bench.parts.floor_rls", port=port, seen_by=round(case.seen_by))
        await server.receive()
        loads = await self._loaded(case, f"ws://127.0.0.1:{port}/")
        last, cpu = self._next_last(), Cpu(server.pid)
        for load in loads:
            load.send(last)
        server.send([rate, seconds, last])
        seen = [await load.receive() for load in loads]
        used = cpu.seconds()
        for child in (*loads, server):
            await child.end()
        return float(sum(each["rows"] for each in seen)) / max(used, 0.001)

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
                every=max(1, round(case.seen_by)),
            )
            for share in shares
        ]
        for load in loads:
            await load.receive()
        return loads

    def _next_last(self) -> str:
        self._rounds += 1
        return f"the last row of round {self._rounds}."

    def _end(self, dsn: str, case: Case, last: str) -> int:
        """Insert a row that each subscriber sees one of; returns how many are to be received."""
        owners = range(0, case.users, 1 if case.policy == "owner" else case.team)
        with psycopg.connect(dsn) as connection:
            connection.execute(
                "insert into note (owner, team, body) select 'user-' || n, n / %s, %s from unnest(%s::int[]) n",
                [case.team, last, list(owners)],
            )
        return case.subscribers


def latency(seen: list[dict[str, Any]], percent: int) -> float:
    """A percentile of all subscribers' latencies, in milliseconds."""
    return percentile([seconds for each in seen for seconds in each["taken"]], percent)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--policies", nargs="+", choices=_POLICIES, default=["owner", "membership"])
    parser.add_argument("--subscribers", type=int, nargs="*", default=[500, 5_000])
    parser.add_argument("--distinct", type=int, nargs="*", default=[1, 10, 100, 500], help="users of the first curve")
    parser.add_argument(
        "--more", type=int, nargs="*", default=[500, 1_000, 2_000, 5_000], help="subscribers of the second"
    )
    parser.add_argument("--visibilities", type=int, default=100, help="users of the second curve")
    parser.add_argument("--team", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3, help="of a round")
    parser.add_argument("--rate", type=float, default=2_000, help="changes a second at which the search begins")
    parser.add_argument("--rounds", type=int, default=8, help="of a search at most; 1: only that rate")
    parser.add_argument("--p95", type=float, default=50, help="milliseconds below which a rate is sustained")
    parser.add_argument("--curve-rate", type=float, default=400, help="changes a second of the curves")
    parser.add_argument("--most", type=float, default=40_000, help="deliveries a second of the curves at most")
    parser.add_argument("--loads", type=int, default=2, help="processes with subscribers")
    parser.add_argument("--clients", type=int, default=8, help="connections of pgbench")
    chosen = parser.parse_args()
    with local_postgres() as postgres:
        bench = Bench(postgres, chosen.loads, chosen.clients)
        first = Round(chosen.rate, chosen.seconds, chosen.p95)
        lines = [
            uvloop.run(bench.highest(Case(policy, count, count, chosen.team), first, chosen.rounds))
            for policy in chosen.policies
            for count in chosen.subscribers
        ]
        if lines:
            report("rls", lines)
        few = [Case("owner", 500, users, chosen.team) for users in chosen.distinct]
        many = [Case("owner", count, chosen.visibilities, chosen.team) for count in chosen.more]
        for name, cases in (("rls_distinct", few), ("rls_subscribers", many)):
            lines = [
                uvloop.run(
                    bench.at(
                        case, Round(min(chosen.curve_rate, chosen.most / case.seen_by), chosen.seconds, chosen.p95)
                    )
                )
                for case in cases
            ]
            if lines:
                report(name, lines)


if __name__ == "__main__":
    main()
