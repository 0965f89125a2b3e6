"""Who a connection belongs to after ``auth``: every token, on connections of every kind, on every transport."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from server.protocol.close_codes import CloseCode
from tests.integration.access.conftest import Judged
from tests.integration.access.judged import ADMIN, Credential
from tests.integration.access.test_connections import subscribe
from tests.support.clients.transports import TRANSPORTS, TransportClient, transport_client
from tests.support.servers.processes import GIVE_UP_AFTER
from tests.support.values.tokens import token

ANONYMOUS = "RT_002 this connection is anonymous"
OTHER = "RT_002 the token is another user's"


def tokens(credentials: Mapping[str, Credential]) -> dict[str, Credential]:
    """Those that are a token alone: a renewal brings no key."""
    return {name: each for name, each in credentials.items() if each.token is not None and each.key is None}


async def renewed(client: TransportClient, text: str | None) -> str:
    await client.send(type="auth", token=text, ref="renewal")
    answer = await client.receive("authenticated", "error")
    assert answer["ref"] == "renewal"
    return f"{answer['code']} {answer['message']}" if answer["type"] == "error" else "done"


async def joined_with(client: TransportClient, text: str | None) -> str:
    """A subscription that brings its token."""
    answer = await client.join("private:user-ada", id="with token", auth=text)
    if answer["type"] == "error":
        return f"{answer['code']} {answer['message']}"
    await client.send(type="unsubscribe", channel="private:user-ada", id="with token")
    await client.receive("unsubscribed")
    return "done"


def parameters(credential: Credential) -> dict[str, str]:
    given = {"token": credential.token, "apikey": credential.key}
    return {name: text for name, text in given.items() if text is not None}


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("who", ["ada", "ada, with a publishable key"])
async def test_a_connection_is_renewed_by_tokens_of_its_user_and_by_no_other(
    judged: Judged, transport: str, who: str
) -> None:
    async with (
        asyncio.timeout(2 * GIVE_UP_AFTER),
        transport_client(judged.server.url, transport, **parameters(judged.credentials[who])) as client,
    ):
        for name, credential in tokens(judged.credentials).items():
            expected = f"RT_002 {credential.reason}" if credential.who is None else OTHER
            if credential.who == "ada":
                expected = "done"
            for way in (renewed, joined_with):
                outcome = await way(client, credential.token)
                assert outcome.startswith(expected), (name, way.__name__, outcome)
                assert str(credential.token) not in outcome
            assert await subscribe("private:user-ada")(client) == "done", f"it is ada's still, after {name}"
            assert await subscribe("private:user-bob")(client) == "RT_003", name
        await client.leave()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("who", ["anonymous"])
async def test_no_token_makes_a_user_of_an_anonymous_connection(judged: Judged, transport: str, who: str) -> None:
    async with (
        asyncio.timeout(2 * GIVE_UP_AFTER),
        transport_client(judged.server.url, transport, **parameters(judged.credentials[who])) as client,
    ):
        for name, credential in tokens(judged.credentials).items():
            for way in (renewed, joined_with):
                outcome = await way(client, credential.token)
                assert outcome.startswith(ANONYMOUS), (name, way.__name__, outcome)
        assert await subscribe("private:user-ada")(client) == "RT_003"
        assert await subscribe("public:news")(client) == "done"
        await client.leave()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_token_with_other_rights_ends_the_connection_so_that_it_comes_back_with_them(
    judged: Judged, transport: str
) -> None:
    async with (
        asyncio.timeout(GIVE_UP_AFTER),
        transport_client(judged.server.url, transport, token=token(sub="ada")) as client,
    ):
        assert await renewed(client, token(sub="ada", role=ADMIN)) == "done"
        assert (await client.receive("close"))["code"] == CloseCode.RESUME
