"""Connects and joins a second and core: clients with a token, each joining a channel of its own that a rule opens to it.

Beside them in the same run the same clients without tokens and rules, and with a bare picows server
(``tests.bench.parts.relay``). *per core*: by the processor time of the server process alone. *authorisation*: what a token
and a rule cost by themselves, in this process: from the handshake to the principal, and from it to the decision.
Run with ``python -m tests.bench.bench_connect``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from server.auth.authenticator import AddressAuthenticator, TokenAuthenticator
from server.auth.authorizer import Action, NameRules
from server.auth.identity import handshake_of
from server.auth.tokens import TokenVerifier
from server.bench.load.child import Child
from server.bench.load.usage import Cpu
from server.rules.authorizer import RuleAuthorizer
from tests.bench.bench_rules import CHANNEL, Saved
from tests.bench.bench_tokens import rate
from tests.bench.parts.processes import local_postgres, postmaster
from tests.bench.parts.report import report
from tests.conftest import fresh_database
from tests.support.clients.list_client import write
from tests.support.ports import free_port
from tests.support.servers.processes import serving_measured
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, issuer, pem, token

CONDITION = "auth.uid != null && auth.claims.org == 'acme'"
RULES = json.dumps({"subscribe": CONDITION}).replace("'", "''")
RULE = f"insert into realtime.rules (channel, rules) values ('bench:*', '{RULES}')"
OPTIONS = {
    "auth_issuers": [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}],
    "max_connection_rate": 1_000_000,
    "ephemeral": True,
}


async def one(what: str, pid: int, database: int, **plan: Any) -> dict[str, object]:
    """A line of the report: all connect, then all join."""
    load = await Child.start("tests.bench.parts.load_connect", **plan)
    await load.receive()
    line: dict[str, object] = {"what": what, "clients": plan["clients"]}
    for step in ("connects", "joins"):
        server, postgres = Cpu(pid), Cpu(database)
        load.send("go")
        seconds, spent = await load.receive(), server.seconds()
        line |= {
            f"{step}/s": plan["clients"] / seconds,
            f"{step} per core": plan["clients"] / spent if spent else 0.0,
            f"{step}: PostgreSQL, CPU s": postgres.seconds(),
        }
    load.send("end")
    line["errors"] = await load.receive()
    await load.end()
    return line


async def measure(clients: int) -> list[dict[str, object]]:
    """All lines through sockets."""
    lines = []
    with local_postgres() as postgres:
        main = postmaster(postgres)
        port = free_port()
        relay = await Child.start("tests.bench.parts.relay", port=port)
        await relay.receive()
        url = f"ws://127.0.0.1:{port}/realtime"
        lines.append(await one("bare picows", relay.pid, main, url=url, clients=clients, greeted=False))
        await relay.end()
        for what, tokens in (("server, anonymous, no rule", False), ("server, token and rule", True)):
            dsn = fresh_database(postgres)
            if tokens:
                write(dsn, RULE)
            async with serving_measured(dsn, free_port(), **OPTIONS) as server:
                pid = server.process.pid
                for name, count in (("warm-up", 100), (what, clients)):
                    line = await one(name, pid, main, url=server.websocket, clients=count, tokens=tokens)
                    await server.connections(0)
                lines.append(line)
    return lines


def authorisation() -> list[dict[str, object]]:
    """What proves and decides, alone."""
    lines: list[dict[str, object]] = []
    authorizer = RuleAuthorizer(Saved(CONDITION, []), NameRules())
    for algorithm in ("HS256", "RS256", "ES256"):
        key = {"secret": SECRET} if algorithm == "HS256" else {"public_key": pem(algorithm)}
        authenticator = TokenAuthenticator(TokenVerifier([issuer(**key)]), AddressAuthenticator())
        text = f"Bearer {token(algorithm, org='acme')}"

        def connect(one: TokenAuthenticator = authenticator, header: str = text) -> object:
            return one.identify(handshake_of(None, (), "127.0.0.1", [header]))

        principal = authenticator.identify(handshake_of(None, (), "127.0.0.1", [text]))
        assert principal is not None
        joins = rate(lambda who=principal: authorizer.judge(who, Action.SUBSCRIBE, CHANNEL))  # type: ignore[misc]
        connects = rate(connect)
        both = 1 / (1 / connects + 1 / joins)
        lines.append({"algorithm": algorithm, "connects/s": connects, "joins/s": joins, "connects and joins/s": both})
    return lines


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=2_000)
    arguments = parser.parse_args()
    report("connect", asyncio.run(measure(arguments.clients)))
    report("authorisation", authorisation())


if __name__ == "__main__":
    main()
