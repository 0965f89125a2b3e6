"""What the back end of the examples gives to whom, over HTTP; what it writes is tried in ``tests/browser/examples``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import jwt
import psycopg
import pytest
from psycopg_pool import PoolTimeout

from examples.back_end import BackEnd
from examples.page_server import Pages, PageServer


class Failing:
    """A pool whose database does not carry a call out."""

    def __init__(self, failure: psycopg.Error) -> None:
        self.failure = failure

    def connection(self) -> Any:
        raise self.failure


SECRET = "of these tests alone, and as long as a secret has to be"
REALTIME = "http://localhost:8000"


@contextmanager
def serving(back_end: BackEnd, pages: Pages) -> Iterator[httpx.Client]:
    with PageServer(0, back_end, pages) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
            yield client
        server.shutdown()


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[httpx.Client]:
    """Of a command that was started with ``chat`` and ``notes``, and has built the page of ``chat``."""
    (tmp_path / "chat.js").write_text("start()")
    served = Pages(["chat", "notes"], tmp_path, {"notes": "Node.js is <missing>"})
    with serving(BackEnd(REALTIME, SECRET, cast(Any, None)), served) as client:
        yield client


def session(pages: httpx.Client, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {pages.post('/sign-in', json={'name': name}).json()['session']}"}


def test_a_user_that_has_signed_in_gets_a_token_of_its_own(pages: httpx.Client) -> None:
    answer = pages.post("/token", json={}, headers=session(pages, " Ada "))
    claims = jwt.decode(answer.json()["token"], SECRET, ["HS256"], audience="realtime", issuer="examples")
    assert claims["sub"] == "Ada"
    assert claims["exp"] - claims["iat"] == 600


@pytest.mark.parametrize("path", ["/token", "/call/chat/send", "/push/state", "/push/subscribe"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}], ids=["without", "with_another"])
def test_without_a_session_there_is_nothing(pages: httpx.Client, path: str, headers: dict[str, str]) -> None:
    assert pages.post(path, json={}, headers=headers).status_code == 401


@pytest.mark.parametrize("name", ["", " ", "a" * 25, "<b>", "a/b", 7, None])
def test_a_name_that_is_none_is_refused(pages: httpx.Client, name: object) -> None:
    assert pages.post("/sign-in", json={"name": name}).status_code == 400


@pytest.mark.parametrize(
    ("path", "status"), [("/call/realtime/expose", 404), ("/call/chat/x;y", 404), ("/call/chat", 404), ("/x", 404)]
)
def test_only_functions_of_examples_can_be_called(pages: httpx.Client, path: str, status: int) -> None:
    assert pages.post(path, json={}, headers=session(pages, "Ada")).status_code == status


@pytest.mark.parametrize(
    ("failure", "retry_after"),
    [
        (PoolTimeout("no connection"), "1"),
        (psycopg.errors.DeadlockDetected("rolled back"), "1"),
        (psycopg.OperationalError("the connection is lost"), None),  # perhaps after the commit
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_call_that_did_nothing_may_be_repeated(
    tmp_path: Path, failure: psycopg.Error, retry_after: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    back_end = BackEnd(REALTIME, SECRET, cast(Any, Failing(failure)))
    with serving(back_end, Pages(["chat"], tmp_path, {})) as pages:
        answer = pages.post("/call/chat/send", json={}, headers=session(pages, "Ada"))
    assert (answer.status_code, answer.headers.get("Retry-After")) == (503, retry_after)
    assert repr(failure) in caplog.text


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
def test_a_body_that_is_no_object_is_refused(pages: httpx.Client, body: bytes) -> None:
    assert pages.post("/sign-in", content=body).status_code == 400


@pytest.mark.parametrize("path", ["/", "/chat/", "/build/chat.js", "/shared/style.css", "/realtime.js"])
def test_pages_run_their_own_scripts_and_the_sdk_alone(pages: httpx.Client, path: str) -> None:
    answer = pages.get(path)
    assert answer.status_code == 200
    policy = dict(each.split(" ", 1) for each in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'self' {REALTIME}"
    assert policy["connect-src"] == f"'self' {REALTIME} ws://localhost:8000"
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/notes/", "Node.js is &lt;missing&gt;"), ("/game/", "It was not started: run `python -m examples game`.")],
    ids=["lacking", "not_started"],
)
def test_an_example_that_does_not_run_names_the_reason(pages: httpx.Client, path: str, reason: str) -> None:
    answer = pages.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert reason in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/chat/schema.sql",
        "/back_end.py",
        "/../README.md",
        "/%2e%2e/README.md",
        "/chat",
        "/build/../chat.js",
        "/build/notes.js",
        "/node_modules/react/index.js",
    ],
)
def test_what_is_no_page_is_not_served(pages: httpx.Client, path: str) -> None:
    assert pages.get(path).status_code == 404


def test_only_the_page_with_a_service_worker_may_name_the_address_of_one(pages: httpx.Client) -> None:
    for path, policy in (("/feed/service-worker.js", "service-worker"), ("/chat/", "'none'")):
        assert f"trusted-types {policy}" in pages.get(path).headers["Content-Security-Policy"].split("; ")
    assert pages.get("/feed/service-worker.js").headers["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize("what", ["state", "subscribe", "unsubscribe"])
def test_nothing_is_pushed_where_the_feed_was_not_started(pages: httpx.Client, what: str) -> None:
    assert pages.post(f"/push/{what}", json={}, headers=session(pages, "Ada")).status_code == 404


def test_a_request_under_another_name_is_refused(pages: httpx.Client) -> None:
    """A page whose host name is made to mean this machine (DNS rebinding) is of another origin."""
    assert pages.get("/", headers={"Host": "app.example.com"}).status_code == 421
