"""What clients may see belongs to a column, not to its name: subscriptions and SQL agree whatever is renamed."""

from __future__ import annotations

import pytest

from tests.live.stage import Follower, run, stage
from tests.oracle.queries import Query

TABLES = (
    "create table t (id int primary key, body text, password_hash text)",
    "insert into t values (1, 'hello', '$2b$secret')",
    "select realtime.expose('t', columns => '{id,body}')",
)


@pytest.mark.parametrize("spec", [{}, {"sql": "select * from t"}], ids=["builder", "sql"])
async def test_a_hidden_column_stays_hidden_when_it_gets_the_name_of_an_exposed_one(
    dsn: str, spec: dict[str, object]
) -> None:
    run(dsn, *TABLES)
    query = Query("t", spec, "select jsonb_build_object('id', id, 'content', content) from t order by id")
    async with stage(dsn) as play:
        follower: Follower = await play.follow(query)
        run(dsn, "alter table t rename body to content", "alter table t rename password_hash to body")
        await follower.until(lambda: follower.list[0][1] == b'{"id":1,"content":"hello"}')
        run(dsn, "update t set content = 'again'")
        newcomer = await play.follow(query)
        await play.check(follower, newcomer)
