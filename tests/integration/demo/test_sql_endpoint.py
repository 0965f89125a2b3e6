"""``POST /demo/sql``: one transaction per request, positions around its commit, strangers refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from email.message import Message
from typing import Any

import httpx
import psycopg
import pytest
from starlette.applications import Starlette

from engine.lsn import parse_lsn
from server import demo
from server.demo import routes, seed

HERE = "http://localhost:8000"


@pytest.fixture
async def client(database: str) -> AsyncIterator[httpx.AsyncClient]:
    seed(database)
    transport = httpx.ASGITransport(app=Starlette(routes=routes(database)))
    async with httpx.AsyncClient(transport=transport, base_url=HERE, headers={"Origin": HERE}) as http:
        yield http


async def sql(client: httpx.AsyncClient, text: str, params: list[object] | None = None) -> dict[str, Any]:
    body = {"sql": text} if params is None else {"sql": text, "params": params}
    response = await client.post("/demo/sql", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_a_write_is_committed_and_its_positions_are_returned(client: httpx.AsyncClient) -> None:
    answer = await sql(client, "update messages set likes = likes + 1 where room_id = $1", ["general"])
    assert (answer["command"], answer["rows"], answer["outcome"]) == ("UPDATE", 84, "committed")
    assert parse_lsn(answer["position"]) < parse_lsn(answer["positionEnd"])
    assert 0 < answer["commitMs"] <= answer["totalMs"]


async def test_the_commit_record_lies_between_the_positions(client: httpx.AsyncClient, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("select pg_create_logical_replication_slot('witness', 'test_decoding')")
        answer = await sql(client, "delete from orders where id = 1")
        commits = connection.execute(
            "select lsn::text from pg_logical_slot_get_changes('witness', null, null, 'skip-empty-xacts', '1') "
            "where data like 'COMMIT%'"  # autovacuum commits, too, and changes no table of ours
        ).fetchall()
        connection.execute("select pg_drop_replication_slot('witness')")
    # test_decoding reports the end of the commit record; its start is what clients see.
    assert len(commits) == 1
    assert parse_lsn(answer["position"]) < parse_lsn(commits[0][0]) <= parse_lsn(answer["positionEnd"])


async def test_reading_commits_nothing_and_returns_text(client: httpx.AsyncClient) -> None:
    answer = await sql(client, "select 1 as one, null as nothing, true as yes, array[1,2] as list")
    assert answer["outcome"] == "nothing to commit"
    assert answer["results"] == [
        {
            "command": "SELECT",
            "rows": 1,
            "columns": ["one", "nothing", "yes", "list"],
            "values": [["1", None, "t", "{1,2}"]],
        }
    ]


async def test_several_statements_are_one_transaction(client: httpx.AsyncClient, database: str) -> None:
    answer = await sql(client, "delete from messages where id = 1; update orders set quantity = 0")
    assert answer["error"]["sqlstate"] == "23514"
    with psycopg.connect(database) as connection:
        assert connection.execute("select count(*) from messages where id = 1").fetchone() == (1,)


async def test_a_transaction_that_rolls_itself_back_leaves_nothing(client: httpx.AsyncClient, database: str) -> None:
    answer = await sql(client, "begin; delete from messages; rollback;")
    assert (answer["command"], answer["outcome"], answer["commitMs"]) == ("ROLLBACK", "own transaction", None)
    assert [result["command"] for result in answer["results"]] == ["BEGIN", "DELETE", "ROLLBACK"]
    with psycopg.connect(database) as connection:
        assert connection.execute("select count(*) from messages").fetchone() == (336,)


async def test_an_error_reports_whether_anything_was_kept(client: httpx.AsyncClient) -> None:
    undone = await sql(client, "delete from messages where id = 1; select 1 / 0")
    kept = await sql(client, "delete from messages where id = 1; commit; select 1 / 0")
    assert (undone["error"]["undone"], kept["error"]["undone"]) == (True, False)


async def test_a_failing_commit_is_an_error(client: httpx.AsyncClient) -> None:
    answer = await sql(
        client,
        "create table a (id int primary key deferrable initially deferred); insert into a values (1), (1)",
    )
    assert answer["error"]["sqlstate"] == "23505"


async def test_an_error_has_a_reason_and_a_place(client: httpx.AsyncClient) -> None:
    answer = await sql(client, "select nothing_like_it from messages")
    assert answer["error"]["message"] == 'column "nothing_like_it" does not exist'
    assert answer["error"]["at"] == 8


async def test_a_huge_result_is_counted_and_only_its_head_is_sent(client: httpx.AsyncClient) -> None:
    answer = await sql(client, "select repeat('x', 3000) as x from generate_series(1, 20000)")
    assert answer["rows"] == 20_000
    (result,) = answer["results"]
    assert len(result["values"]) == 100
    assert len(result["values"][0][0]) == 2_001


async def test_copy_to_the_client_is_refused_in_plain_words(client: httpx.AsyncClient) -> None:
    for statement in ("copy messages to stdout", "copy messages from stdin"):
        answer = await sql(client, statement)
        assert "psql" in answer["error"]["message"]


async def test_an_empty_statement_is_no_error(client: httpx.AsyncClient) -> None:
    answer = await sql(client, " -- nothing\n")
    assert (answer["command"], answer["rows"], answer["outcome"]) == ("", None, "nothing to commit")


async def test_a_statement_is_stopped_by_the_time_limit(client: httpx.AsyncClient) -> None:
    answer = await sql(client, "set statement_timeout = 20; select pg_sleep(60)")
    assert answer["error"]["sqlstate"] == "57014"
    limit = await sql(client, "show statement_timeout")
    assert limit["results"][0]["values"] == [["10s"]]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"},
        {"Host": "[oops", "Origin": "http://[oops"},
    ],
)
async def test_another_site_is_refused(client: httpx.AsyncClient, headers: dict[str, str], database: str) -> None:
    response = await client.post("/demo/sql", json={"sql": "delete from messages"}, headers=headers)
    assert response.status_code == 403
    with psycopg.connect(database) as connection:
        assert connection.execute("select count(*) from messages").fetchone() == (336,)


async def test_a_form_cannot_send_a_statement(client: httpx.AsyncClient) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = await client.post("/demo/sql", content=b'{"sql": "select 1"}', headers={"Content-Type": media_type})
        assert response.status_code == 415


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"sql": 1}', b'{"sql": "x", "more": 1}', b'{"sql": "a\\u0000b"}', b'{"sql": "\\ud800"}'],
)
async def test_a_malformed_request_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/demo/sql", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["detail"]
    assert response.json()["code"] == "RT_007"


async def test_the_page_may_load_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    response = await client.get("/")
    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["content-security-policy"]


async def test_the_address_for_psql_carries_no_password() -> None:
    app = Starlette(routes=routes("postgresql://dev:secret@127.0.0.1:5432/postgres"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=HERE) as http:
        about = (await http.get("/demo/about")).json()
    assert "secret" not in about["dsn"]
    assert "dev" in about["dsn"]


async def test_the_page_names_the_repository_where_the_package_does(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Message()
    package["Project-URL"] = "Repository, https://git.example.org/team/realtime"
    monkeypatch.setattr(demo, "metadata", lambda name: package)
    demo._repository.cache_clear()
    try:
        assert (await client.get("/demo/about")).json()["repository"] == "https://git.example.org/team/realtime"
    finally:
        demo._repository.cache_clear()
