"""Handlers of authentication, asked as a server asks them."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.auth.tokens import TokenVerifier
from server.auth_handler.settings import HandlerSettings
from server.auth_handler.verifier import HandlerUnavailableError, HandlerVerifier, handler_of
from tests.support.servers.processes import GIVE_UP_AFTER
from tests.support.servers.webhook import WebhookServer, webhook_server

KEY = b"k" * 32
SECRET = b64encode(KEY).decode()
KNOWN = "k3Jf9-example"
UNKNOWN = "a-token-that-is-of-no-user"


@asynccontextmanager
async def judging(issuers: Any = (), **settings: Any) -> AsyncIterator[HandlerVerifier]:
    """A verifier that waits for an answer as long as a test may take, unless ``timeout`` is among the settings."""
    own = HandlerSettings(**settings)
    if "timeout" not in settings:
        own = own.model_copy(update={"timeout": GIVE_UP_AFTER})
    limits = {"timeout": own.timeout, "cache": own.cache}
    verifier = HandlerVerifier(handler_of(own), TokenVerifier(issuers), **limits, admin_role=own.admin_role)
    async with asyncio.timeout(4 * GIVE_UP_AFTER):
        yield verifier
        await verifier.close()


@asynccontextmanager
async def asking(**settings: Any) -> AsyncIterator[tuple[WebhookServer, HandlerVerifier]]:
    async with webhook_server() as server, judging(url=server.url, secret=SECRET, **settings) as verifier:
        yield server, verifier


async def failure_of(verifier: HandlerVerifier, token: str = KNOWN) -> HandlerUnavailableError:
    with pytest.raises(HandlerUnavailableError) as failed:
        await verifier.verify(token)
    assert (failed.value.code, str(failed.value)) == ("RT_001", "the token cannot be checked now; try again")
    return failed.value
