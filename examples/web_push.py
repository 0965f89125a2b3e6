"""Web Push for ``feed/``: a trigger puts each new notification beside the browsers of its user, and this sends it to them.

A browser's push service keeps a message until the browser is there, also if no page is open. It cannot read it: a message is
encrypted for the browser (RFC 8291), and signed with a key of the back end's own (VAPID, RFC 8292), without which the
subscription cannot be used.

A subscription's address comes from a page, and the back end posts to it. So only addresses of known push services are taken:
else a user could have the back end ask addresses that only the back end reaches.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import sys
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from psycopg_pool import ConnectionPool
from py_vapid import Vapid02
from pywebpush import WebPushException, webpush

__all__ = ["SubscriptionRefusedError", "WebPush", "vapid_key"]

SERVICES: Final = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "web.push.apple.com",
    ".notify.windows.com",
)
"""Hosts of the push services of Chromium, Firefox, Safari and Edge; with a dot: of one below it."""

CONTACT: Final = "mailto:you@example.com"
"""Whom a push service writes to if something is wrong with what this back end sends."""

TTL: Final = 86_400
"""Seconds for which a push service keeps what it cannot deliver yet: what is a day old is in the inbox anyway."""

MAX_BROWSERS: Final = 10
"""Of one user."""

_MAX_BODY: Final = 500  # characters: a push service takes 4,096 bytes at least
_TIMEOUT: Final = 10.0  # seconds for a push service
_MAX_TRIES: Final = 5
_LOOK: Final = 10.0  # seconds until what has failed, or was not announced, is looked for
_GONE: Final = (404, 410)  # RFC 8030, 7.3: the subscription has ended

_ADDRESS = re.compile(r"[!-\[\]-~]+")  # no space, and no backslash, which some read as a slash
_HOST = re.compile(r"[a-z0-9.-]+")  # no user, and no port

_SUBSCRIBE = """
insert into feed.push_subscriptions (endpoint, user_id, p256dh, auth)
select %(endpoint)s, %(user)s, %(p256dh)s, %(auth)s
where (select count(*) from feed.push_subscriptions where user_id = %(user)s and endpoint <> %(endpoint)s) < %(most)s
on conflict (endpoint) do update set user_id = excluded.user_id, p256dh = excluded.p256dh, auth = excluded.auth
"""
_NEXT = """
select p.notification, p.endpoint, s.p256dh, s.auth, n.user_id, n.kind, n.actor, n.body, n.read_at is not null
from feed.pushes p join feed.push_subscriptions s using (endpoint) join feed.notifications n on n.id = p.notification
where p.due <= now() order by p.due limit 1 for update of p skip locked
"""
_LATER = """
update feed.pushes set tries = tries + 1, due = now() + interval '10 s' * 2 ^ tries
where notification = %s and endpoint = %s
"""


class SubscriptionRefusedError(ValueError):
    """A browser's subscription that is not taken; the message has the reason."""


def vapid_key(file: Path) -> Vapid02:
    """The key in ``file``, which is made if it is not there. It is part of each subscription."""
    if not file.exists():
        key = Vapid02()
        key.generate_keys()
        file.touch(mode=0o600)
        file.write_bytes(key.private_pem())
    return Vapid02.from_file(str(file))


@dataclass
class WebPush:
    """Browsers' subscriptions, and what is sent to them.

    ``pool``: of the database, whose address for a connection of its own is ``dsn``. ``more``: origins of further push
    services, for tests.
    """

    pool: ConnectionPool
    dsn: str
    key: Vapid02
    more: Collection[str] = ()

    def __post_init__(self) -> None:
        self._session = requests.Session()
        self._session.max_redirects = 0  # to wherever a push service points: none does
        self._stop = threading.Event()

    # -- what pages ask for --------------------------------------------------------------------------------------------

    @property
    def public_key(self) -> str:
        """What the page gives to ``PushManager.subscribe``."""
        public = self.key.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return base64.urlsafe_b64encode(public).rstrip(b"=").decode()

    def state(self, user: str, endpoint: object) -> dict[str, Any]:
        """The key for ``subscribe``, and whether the subscription ``endpoint`` of a browser is ``user``'s."""
        statement = "select from feed.push_subscriptions where endpoint = %s and user_id = %s"
        with self.pool.connection() as connection:
            mine = connection.execute(statement, [str(endpoint), user]).fetchone() is not None
        return {"key": self.public_key, "mine": mine}

    def subscribe(self, user: str, subscription: Mapping[str, Any]) -> None:
        """Send what is for ``user``, and for no other user, to this browser. Raises ``SubscriptionRefusedError``."""
        endpoint, keys = subscription.get("endpoint"), subscription.get("keys")
        if not isinstance(endpoint, str) or not isinstance(keys, dict):
            raise SubscriptionRefusedError("That is no subscription of a browser.")
        self._check_service(endpoint)
        _check_keys(keys)
        values = {"endpoint": endpoint, "user": user, **{name: keys[name] for name in ("p256dh", "auth")}}
        with self.pool.connection() as connection:
            if not connection.execute(_SUBSCRIBE, values | {"most": MAX_BROWSERS}).rowcount:
                raise SubscriptionRefusedError(f"A user is notified in {MAX_BROWSERS} browsers at most.")

    def unsubscribe(self, user: str, endpoint: object) -> None:
        """Send nothing more to a browser of ``user``."""
        with self.pool.connection() as connection:
            connection.execute(
                "delete from feed.push_subscriptions where endpoint = %s and user_id = %s", [str(endpoint), user]
            )

    def _check_service(self, endpoint: str) -> None:
        if len(endpoint) > 2_000 or not _ADDRESS.fullmatch(endpoint):
            raise SubscriptionRefusedError("The address of the subscription is none.")
        parts = urlsplit(endpoint)
        origin = f"{parts.scheme}://{parts.netloc}"
        if origin in self.more:
            return
        if parts.scheme != "https":
            raise SubscriptionRefusedError("The address of the subscription is not https.")
        known = any(parts.netloc == each or (each[0] == "." and parts.netloc.endswith(each)) for each in SERVICES)
        if not known or not _HOST.fullmatch(parts.netloc):
            raise SubscriptionRefusedError(f"{parts.netloc} is not the push service of a browser that is known here.")

    # -- what is sent --------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Send what is there, and what comes, until ``stop``. The database may be away meanwhile."""
        while not self._stop.is_set():
            try:
                with psycopg.connect(self.dsn, autocommit=True) as connection:
                    connection.execute("listen feed_pushes")
                    while not self._stop.is_set():
                        self.send_all()
                        for _ in connection.notifies(timeout=_LOOK, stop_after=1):
                            pass
            except psycopg.Error:
                self._stop.wait(_LOOK / 10)

    def stop(self) -> None:
        """End ``run``, after what it waits for."""
        self._stop.set()

    def send_all(self) -> None:
        """Send what is due. Raises ``psycopg.Error``."""
        while not self._stop.is_set() and self._send_next():
            pass

    def _send_next(self) -> bool:
        """One message, in the transaction that takes it from the table: it is sent again if this is killed meanwhile."""
        with self.pool.connection() as connection:
            row = connection.execute(_NEXT).fetchone()
            if row is None:
                return False
            id, endpoint, p256dh, auth, user, kind, actor, body, read = row
            title = "Alert" if kind == "alert" else f"{actor} mentioned you"
            message = {"id": id, "user": user, "title": title, "body": body[:_MAX_BODY]}
            subscription = {"endpoint": endpoint, "keys": {"p256dh": p256dh, "auth": auth}}
            status = 201 if read else self._post(subscription, message, urgent=kind == "alert")
            if status in _GONE:
                connection.execute("delete from feed.push_subscriptions where endpoint = %s", [endpoint])
            elif status < 300 or 400 <= status < 429:  # another attempt would be refused as well
                connection.execute("delete from feed.pushes where notification = %s and endpoint = %s", [id, endpoint])
            else:
                connection.execute(_LATER, [id, endpoint])
                connection.execute("delete from feed.pushes where tries >= %s", [_MAX_TRIES])
        return True

    def _post(self, subscription: dict[str, Any], message: dict[str, Any], *, urgent: bool) -> int:
        """The status that the push service answers with; 503 if it cannot be reached."""
        service = urlsplit(subscription["endpoint"]).netloc
        try:
            answer = webpush(
                subscription,
                json.dumps(message, ensure_ascii=False),
                vapid_private_key=self.key,
                vapid_claims={"sub": CONTACT},
                ttl=TTL,
                timeout=_TIMEOUT,
                headers={"Urgency": "high" if urgent else "normal"},
                requests_session=self._session,
            )
        except WebPushException as refused:
            status = 503 if refused.response is None else int(refused.response.status_code)
            if status not in _GONE:
                print(f"examples: {service} refused a push with {status}", file=sys.stderr, flush=True)
            return status
        except requests.RequestException as wrong:
            print(f"examples: {service} cannot be reached: {type(wrong).__name__}", file=sys.stderr, flush=True)
            return 503
        return int(answer.status_code)


def _check_keys(keys: Mapping[str, Any]) -> None:
    """Raises ``SubscriptionRefusedError`` for keys with which nothing can be encrypted."""
    try:
        public, secret = (base64.urlsafe_b64decode(f"{keys[name]}==") for name in ("p256dh", "auth"))
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
    except (KeyError, ValueError, binascii.Error):
        raise SubscriptionRefusedError("The keys of the subscription are none.") from None
    if len(secret) != 16:
        raise SubscriptionRefusedError("The keys of the subscription are none.")
