"""The application's back end, as small as can be: it signs users in, makes their tokens, and writes for them by SQL.

The pages never see the secret, nor the database. A user proves itself to the back end by a session, which each tab has to
itself, and to the realtime server by a token that the back end has signed.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import jwt
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool, PoolTimeout

from examples import yjs_documents
from examples.realtime_server import AUDIENCE, ISSUER
from examples.web_push import SubscriptionRefusedError, WebPush

__all__ = ["BackEnd", "RefusedError"]

_log = logging.getLogger(__name__)

TOKEN_SECONDS = 600
_NAME = re.compile(r"[\w .-]{1,24}")


class RefusedError(Exception):
    """A request that is refused, with the HTTP status.

    ``retry_after``: seconds, after which the page may ask again: nothing was done.
    """

    def __init__(self, status: HTTPStatus, reason: str, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after = retry_after


@dataclass
class BackEnd:
    """``url``: of the realtime server, to which ``secret`` proves the tokens.

    ``pool``: connections to the database, as a role that may do what the examples need, and no more.
    """

    url: str
    secret: str = field(repr=False)
    pool: ConnectionPool
    sessions: dict[str, str] = field(default_factory=dict, repr=False)
    """The user of each session."""
    push: WebPush | None = None
    """Of the example ``feed``, if that was started."""

    def sign_in(self, name: object) -> dict[str, str]:
        """A session for a user. A real application asks for a password here."""
        if not isinstance(name, str) or not _NAME.fullmatch(name.strip()):
            raise RefusedError(HTTPStatus.BAD_REQUEST, "A name has 1 to 24 letters, digits, spaces, dots or hyphens.")
        session = secrets.token_urlsafe()
        self.sessions[session] = name.strip()
        return {"session": session, "user": name.strip()}

    def token(self, user: str) -> dict[str, str]:
        """What the page gives to the realtime server; it asks for the next one before this one expires."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + TOKEN_SECONDS}
        return {"token": jwt.encode(claims, self.secret, "HS256")}

    def web_push(self, what: str, user: str, given: dict[str, Any]) -> dict[str, Any]:
        """``state``, ``subscribe`` or ``unsubscribe``: ``given`` is a browser's subscription, or its ``endpoint``."""
        if self.push is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "The example feed was not started.")
        try:
            if what == "state":
                return self.push.state(user, given.get("endpoint"))
            if what == "subscribe":
                self.push.subscribe(user, given)
            else:
                self.push.unsubscribe(user, given.get("endpoint"))
        except SubscriptionRefusedError as refused:
            raise RefusedError(HTTPStatus.BAD_REQUEST, str(refused)) from None
        except psycopg.Error as failed:
            raise _unavailable(f"web push: {what}", failed) from None
        return {}

    def call(self, schema: str, function: str, user: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Run ``schema.function(uid, args)`` in one transaction; its result and the position of the transaction."""
        before = yjs_documents.BEFORE.get((schema, function))
        statement = sql.SQL("select {}(uid => %s, args => %s), realtime.position()").format(
            sql.Identifier(schema, function)
        )
        try:
            with self.pool.connection() as connection:
                if before is not None:
                    before(connection, arguments)
                [(result, position)] = connection.execute(statement, [user, Jsonb(arguments)]).fetchall()
        except psycopg.errors.UndefinedFunction:
            raise RefusedError(HTTPStatus.NOT_FOUND, f"There is no function {schema}.{function}.") from None
        except (psycopg.errors.RaiseException, psycopg.DataError, psycopg.IntegrityError) as wrong:
            raise RefusedError(HTTPStatus.BAD_REQUEST, wrong.diag.message_primary or str(wrong)) from None
        except psycopg.Error as failed:
            raise _unavailable(f"{schema}.{function}", failed) from None
        return {"result": result, "position": position}


def _unavailable(what: str, failed: psycopg.Error) -> RefusedError:
    """What PostgreSQL has reported it has rolled back; what was lost with a connection may have been committed."""
    _log.warning("%s failed: %r", what, failed)
    undone = failed.sqlstate is not None or isinstance(failed, PoolTimeout)
    return RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "The database cannot do that now.", 1 if undone else None)
