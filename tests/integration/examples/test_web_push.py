"""Web Push of the feed: what a push service gets, which a fake one on this machine decrypts as a browser does."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import http_ece
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from psycopg.conninfo import make_conninfo
from psycopg_pool import ConnectionPool

from examples.realtime_server import BACK_END_ROLE, PAGES
from examples.web_push import MAX_BROWSERS, TTL, SubscriptionRefusedError, WebPush, vapid_key
from tests.support.postgres.sql import run_each
from tests.support.servers.processes import GIVE_UP_AFTER


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Browser:
    """What a browser keeps of its subscription, at ``endpoint``."""

    endpoint: str
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    secret: bytes = b"sixteen bytes it"

    @property
    def subscription(self) -> dict[str, Any]:
        """As ``PushSubscription.toJSON()`` has it."""
        public = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {"endpoint": self.endpoint, "keys": {"p256dh": base64url(public), "auth": base64url(self.secret)}}

    def decrypted(self, body: bytes) -> dict[str, Any]:
        text = http_ece.decrypt(body, private_key=self.private, auth_secret=self.secret, version="aes128gcm")
        return dict(json.loads(text))


class PushService(ThreadingHTTPServer):
    """Answers with ``status``. ``got``: path, headers and body of each request."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.status, self.location = 201, ""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.origin = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: PushService

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Not logged."""


@contextmanager
def running(server: PushService) -> Iterator[PushService]:
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    with server:
        yield server
        server.shutdown()


@pytest.fixture
def service() -> Iterator[PushService]:
    with running(PushService()) as server:
        yield server


@pytest.fixture
def feed(database: str) -> Iterator[str]:
    """A database with the tables of the example. Its roles are those of the server."""
    run_each(database, *(PAGES.joinpath(name).read_text() for name in ("shared/roles.sql", "feed/schema.sql")))
    yield database
    run_each(database, "select realtime.unserve_role('authenticated')")
    for role in ("authenticated", BACK_END_ROLE):
        run_each(database, f"drop owned by {role}", f"drop role {role}")


@pytest.fixture
def push(feed: str, service: PushService, tmp_path: Path) -> Iterator[WebPush]:
    dsn = make_conninfo(feed, user=BACK_END_ROLE)
    with ConnectionPool(dsn, min_size=1, max_size=2, open=True) as pool:
        yield WebPush(pool, dsn, vapid_key(tmp_path / "vapid.pem"), [service.origin])


def rows(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


def mention(dsn: str, text: str, post: int) -> None:
    args = json.dumps({"id": f"00000000-0000-0000-0000-{post:012}", "body": text})
    run_each(dsn, f"select feed.post('Bob', '{args}')")


def test_a_browser_decrypts_what_was_written_for_its_user_and_nothing_else(
    feed: str, push: WebPush, service: PushService
) -> None:
    ada, eve = Browser(f"{service.origin}/ada"), Browser(f"{service.origin}/eve")
    push.subscribe("Ada", ada.subscription)
    push.subscribe("Eve", eve.subscription)
    mention(feed, "@Ada look: <b>tea</b> ☕, @Carl too", 1)
    run_each(feed, "select feed.alert('Eve', 'Your card expires')")
    push.send_all()
    to_ada, to_eve = sorted(service.got)
    [(first, second)] = rows(feed, "select min(id), max(id) from feed.notifications where user_id <> 'Carl'")
    assert ada.decrypted(to_ada[2]) == {
        **{"id": first, "user": "Ada", "title": "Bob mentioned you"},
        "body": "@Ada look: <b>tea</b> ☕, @Carl too",
    }
    assert eve.decrypted(to_eve[2]) == {"id": second, "user": "Eve", "title": "Alert", "body": "Your card expires"}
    assert b"tea" not in to_ada[2]
    for (path, headers, _), urgency in ((to_ada, "normal"), (to_eve, "high")):
        assert path in ("/ada", "/eve")
        assert (headers["ttl"], headers["content-encoding"], headers["urgency"]) == (str(TTL), "aes128gcm", urgency)
        signed = dict(each.strip().split("=", 1) for each in headers["authorization"].removeprefix("vapid ").split(","))
        assert signed["k"] == push.public_key
        claims = jwt.decode(signed["t"], push.key.public_key, ["ES256"], audience=service.origin)
        assert claims["sub"].startswith("mailto:")
        assert claims["exp"] <= time.time() + 86_400
    push.send_all()
    assert len(service.got) == 2, "it is sent once"


@pytest.mark.parametrize("status", [404, 410])
def test_a_subscription_that_has_ended_is_removed(feed: str, push: WebPush, service: PushService, status: int) -> None:
    service.status = status
    push.subscribe("Ada", Browser(f"{service.origin}/1").subscription)
    mention(feed, "@Ada tea", 1)
    push.send_all()
    assert rows(feed, "select * from feed.push_subscriptions") == rows(feed, "select * from feed.pushes") == []
    mention(feed, "@Ada more tea", 2)
    push.send_all()
    assert len(service.got) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_push_service_that_cannot_take_it_now_is_asked_again_later_and_not_for_ever(
    feed: str, push: WebPush, service: PushService, status: int
) -> None:
    service.status = status
    push.subscribe("Ada", Browser(f"{service.origin}/1").subscription)
    mention(feed, "@Ada tea", 1)
    for attempt in range(1, 6):
        push.send_all()
        push.send_all()
        assert len(service.got) == attempt, "not before it is due"
        run_each(feed, "update feed.pushes set due = now()")
    assert rows(feed, "select * from feed.pushes") == []
    assert len(rows(feed, "select * from feed.push_subscriptions")) == 1


def test_a_message_that_is_refused_or_was_read_meanwhile_is_not_sent_again(
    feed: str, push: WebPush, service: PushService
) -> None:
    service.status = 413
    push.subscribe("Ada", Browser(f"{service.origin}/1").subscription)
    mention(feed, "@Ada tea", 1)
    push.send_all()
    mention(feed, "@Ada more tea", 2)
    run_each(feed, "select feed.mark_all_read('Ada', '{}')")
    push.send_all()
    assert len(service.got) == 1
    assert rows(feed, "select * from feed.pushes") == []


def test_the_back_end_does_not_go_where_a_push_service_points(feed: str, push: WebPush, service: PushService) -> None:
    with running(PushService()) as inside:
        service.status, service.location = 307, f"{inside.origin}/secret"
        push.subscribe("Ada", Browser(f"{service.origin}/1").subscription)
        mention(feed, "@Ada tea", 1)
        push.send_all()
        assert len(service.got) == 1
        assert inside.got == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:1/",
        "http://fcm.googleapis.com/fcm/send/x",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/",
        "https://push.example.com/x",
        "https://fcm.googleapis.com.example.com/x",
        "https://fcm.googleapis.com@example.com/x",
        "https://example.com@wns.notify.windows.com/x",
        "https://example.com/.notify.windows.com",
        "https://example.com#.notify.windows.com",
        "https://example.com\\.notify.windows.com",
        "https://fcm.googleapis.com:8443/x",
        "https://notify.windows.com/x",
        "https://fcm.googleapis.com/ x",
        "https://fcm.googleapis.com/\r\nHost: x",
        "file:///etc/passwd",
        "",
        7,
    ],
)
def test_an_address_of_no_known_push_service_is_refused(push: WebPush, endpoint: object) -> None:
    with pytest.raises(SubscriptionRefusedError, match=r"\.$"):
        push.subscribe("Ada", Browser("").subscription | {"endpoint": endpoint})


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/dGVhOjE=:APA91b-x_y",
        "https://updates.push.services.mozilla.com/wpush/v2/gAAAAAB=",
        "https://web.push.apple.com/QGx",
        "https://db5p.notify.windows.com/w/?token=BQYAAA%2f%3d",
    ],
)
def test_those_of_browsers_are_taken(feed: str, push: WebPush, endpoint: str) -> None:
    push.subscribe("Ada", Browser(endpoint).subscription)
    assert rows(feed, "select user_id, endpoint from feed.push_subscriptions") == [("Ada", endpoint)]
    assert push.state("Ada", endpoint) == {"key": push.public_key, "mine": True}
    assert push.state("Bob", endpoint)["mine"] is False


@pytest.mark.parametrize(
    "keys", [None, {}, {"p256dh": "BA", "auth": "AA"}, {"p256dh": 7, "auth": 7}, "good but for auth", "off the curve"]
)
def test_keys_with_which_nothing_can_be_encrypted_are_refused(push: WebPush, service: PushService, keys: Any) -> None:
    good = Browser(f"{service.origin}/1").subscription
    if keys == "good but for auth":
        keys = good["keys"] | {"auth": "AA"}
    elif keys == "off the curve":
        keys = good["keys"] | {"p256dh": base64url(b"\4" + b"\1" * 64)}
    with pytest.raises(SubscriptionRefusedError):
        push.subscribe("Ada", good | {"keys": keys})


def test_a_browser_is_one_users_and_a_user_has_so_many(feed: str, push: WebPush, service: PushService) -> None:
    browser = Browser(f"{service.origin}/1")
    push.subscribe("Ada", browser.subscription)
    push.subscribe("Eve", browser.subscription)
    push.unsubscribe("Ada", browser.endpoint)
    assert rows(feed, "select user_id from feed.push_subscriptions") == [("Eve",)]
    push.unsubscribe("Eve", browser.endpoint)
    assert rows(feed, "select user_id from feed.push_subscriptions") == []
    for number in range(MAX_BROWSERS):
        push.subscribe("Ada", Browser(f"{service.origin}/{number}").subscription)
    push.subscribe("Ada", browser.subscription)  # one of these
    with pytest.raises(SubscriptionRefusedError, match="10 browsers"):
        push.subscribe("Ada", Browser(f"{service.origin}/more").subscription)


def test_a_row_is_sent_when_it_is_written(feed: str, push: WebPush, service: PushService) -> None:
    push.subscribe("Ada", Browser(f"{service.origin}/1").subscription)
    sending = threading.Thread(target=push.run, daemon=True)
    sending.start()
    try:
        late = time.monotonic() + GIVE_UP_AFTER
        while not rows(feed, "select from pg_stat_activity where query = 'listen feed_pushes' and state = 'idle'"):
            assert time.monotonic() < late
            time.sleep(0.01)
        began = time.monotonic()
        mention(feed, "@Ada tea", 1)
        while not service.got:
            assert time.monotonic() < late
            time.sleep(0.01)
        assert time.monotonic() - began < 8, "it does not wait for the next look"
    finally:
        push.stop()
        run_each(feed, "notify feed_pushes")
        sending.join(GIVE_UP_AFTER)
    assert not sending.is_alive()


def test_no_client_sees_a_subscription_and_no_page_writes_one_by_a_call(feed: str) -> None:
    assert rows(feed, "select has_table_privilege('authenticated', 'feed.push_subscriptions', 'select')") == [(False,)]
    functions = "select proname from pg_proc where pronamespace = 'feed'::regnamespace and proargnames @> '{uid,args}'"
    assert sorted(name for (name,) in rows(feed, functions)) == ["mark_all_read", "mark_read", "post"]


def test_the_key_is_made_once_and_is_for_the_back_end_alone(tmp_path: Path) -> None:
    file = tmp_path / "vapid.pem"
    first, second = vapid_key(file), vapid_key(file)
    assert first.private_pem() == second.private_pem()
    assert file.stat().st_mode & 0o077 == 0
