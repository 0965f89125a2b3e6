"""What is taken away from the schema ``realtime``, or from the server's role, while a node runs: ``problems`` names it."""

from __future__ import annotations

from functools import partial

from tests.support.channel_nodes import Node, node, run, until

CHANGES = (
    (
        "alter function realtime.is_published(regclass) rename to gone",
        "alter function realtime.gone(regclass) rename to is_published",
        "missing in the schema realtime: function realtime.is_published; run `realtime migrate`",
    ),
    (
        "alter view realtime.presence_now rename to gone",
        "alter view realtime.gone rename to presence_now",
        "missing in the schema realtime: view realtime.presence_now; run `realtime migrate`",
    ),
    (
        "alter table realtime.messages disable trigger check_size",
        "alter table realtime.messages enable trigger check_size",
        "trigger check_size on realtime.messages is disabled",
    ),
)


async def follow(dsn: str, here: Node, changes: tuple[tuple[str, str, str], ...]) -> None:
    for breaks, mends, said in changes:
        run(dsn, breaks)
        await until(partial(named, here, said))
        run(dsn, mends)
        await until(lambda: not here.channels.problems)


def named(here: Node, said: str) -> bool:
    return any(said in problem for problem in here.channels.problems)


async def test_a_lost_part_of_the_schema_is_a_problem_until_it_is_back(database: str) -> None:
    async with node(database) as here:
        await follow(database, here, CHANGES)


async def test_a_privilege_that_the_server_lost_is_a_problem_until_it_is_granted_again(database: str) -> None:
    run(database, "create table t (id int primary key)")
    run(database, "select realtime.expose('t')")
    run(database, "create role watched_of_tests login replication")
    run(database, "select realtime.grant_server('watched_of_tests')")
    try:
        async with node(database.replace("postgres@", "watched_of_tests@")) as here:
            changes = (
                ("realtime_reader", "GRANT realtime_reader TO watched_of_tests;"),
                ("select on realtime.migrations", "GRANT SELECT ON TABLE realtime.migrations"),
            )
            await follow(
                database,
                here,
                tuple(
                    (f"revoke {what} from watched_of_tests", f"grant {what} to watched_of_tests", said)
                    for what, said in changes
                ),
            )
    finally:
        run(database, "drop owned by watched_of_tests")
        run(database, "drop role watched_of_tests")
