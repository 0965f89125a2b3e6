"""Who may do what over REST: every credential, and every request that the OpenAPI document describes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from server.rest import ENDPOINTS
from server.rest.description.endpoint import Endpoint
from tests.integration.access.conftest import Judged
from tests.integration.access.judged import REST_KEY, Credential
from tests.support.servers.processes import GIVE_UP_AFTER


@dataclass(frozen=True)
class Sample:
    """A request that is carried out if it is let in; ``status``: how. ``users``: clients that may make it, too."""

    status: int = 200
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    users: frozenset[str] = frozenset()


ROOM = {"id": "private:user-ada"}
NONE = {"id": "nowhere"} | dict.fromkeys(("connectionId", "sessionId", "queryId", "ruleName", "nodeId"), "none")
SAMPLES = {
    "broadcast": Sample(201, ROOM, body={"event": "e"}, users=frozenset(("ada",))),
    "broadcastWidely": Sample(201, body={"event": "e", "users": ["zoe"]}),
    "listMessages": Sample(path=ROOM),
    "getPresence": Sample(path=ROOM),
    "kick": Sample(path=ROOM, body={"userId": "zoe"}),
    "listChannels": Sample(),
    "createChannel": Sample(409, body={"name": "private:room-1"}),
    "getChannel": Sample(path={"id": "private:room-1"}),
    "changeChannel": Sample(path={"id": "private:room-1"}, body={"history": True}),
    "closeChannel": Sample(404, NONE),
    "listConnections": Sample(),
    "disconnectUser": Sample(query={"userId": "zoe"}),
    "disconnect": Sample(404, NONE),
    "listSessions": Sample(),
    "revokeUserSessions": Sample(query={"userId": "zoe"}),
    "revokeSession": Sample(404, NONE),
    "getConnection": Sample(404, NONE),
    "listNodes": Sample(),
    "moveClients": Sample(404, NONE, body={"share": 0.5}),
    "listSlots": Sample(),
    "getLatency": Sample(),
    "listActiveChannels": Sample(),
    "listLiveQueries": Sample(),
    "explainLiveQuery": Sample(404, NONE),
    "listAlerts": Sample(),
    "listAlertRules": Sample(),
    "changeAlertRule": Sample(404, NONE, body={"enabled": True}),
    **dict.fromkeys(
        ("getAnalyticsSummary", "getAnalyticsSeries", "listPopularChannels", "listCountries", "listPeaks"), Sample()
    ),
    "testRules": Sample(body={"action": "publish", "channel": "chat:1"}),
}
"""By ``operationId``. A request that the document describes and that is missing here fails the test."""


def expected(endpoint: Endpoint, sample: Sample, credential: Credential) -> tuple[int, str | None]:
    """Status and code of the answer."""
    if credential.scopes is not None:
        wanted = {endpoint.scope, "dashboard"} if endpoint.method == "GET" else {endpoint.scope}
        return (403, "RT_003") if credential.scopes.isdisjoint(wanted) else (sample.status, None)
    if credential.who is None or credential.on_rest:
        return 401, "RT_002"
    if credential.administrator and endpoint.clients is None:
        return sample.status, None
    return (sample.status, None) if credential.who in sample.users else (403, "RT_003")


def headers_of(credential: Credential) -> dict[str, str]:
    """A server's key in either header; a client's in its own."""
    if credential.scopes is not None:
        return {"Authorization": f"Bearer {credential.key}"}
    given = {"Authorization": credential.token and f"Bearer {credential.token}", "apikey": credential.key}
    return {name: value for name, value in given.items() if value is not None}


async def test_each_request_of_the_openapi_document_is_open_to_whom_it_is_meant_for(judged: Judged) -> None:
    endpoints = {endpoint.name: endpoint for endpoint in ENDPOINTS}
    async with (
        asyncio.timeout(4 * GIVE_UP_AFTER),
        httpx.AsyncClient(base_url=judged.server.url, timeout=GIVE_UP_AFTER) as http,
    ):
        described = (await http.get("/realtime/openapi.json")).json()["paths"]
        requests = [
            (method, path, operation["operationId"])
            for path, methods in described.items()
            for method, operation in methods.items()
        ]
        assert {name for _, _, name in requests} == set(SAMPLES) == set(endpoints)
        for method, path, name in requests:
            sample = SAMPLES[name]
            for who, credential in judged.credentials.items():
                answer = await http.request(
                    method,
                    path.format(**sample.path),
                    params=sample.query,
                    json=sample.body,
                    headers=headers_of(credential),
                )
                status, code = expected(endpoints[name], sample, credential)
                assert answer.status_code == status, (name, who, answer.text)
                if code is None:
                    continue
                problem = answer.json()
                assert problem["code"] == code, (name, who, problem)
                if status == 401:
                    assert answer.headers["www-authenticate"], (name, who)
                    assert problem["detail"].startswith(credential.on_rest or credential.reason), (name, who, problem)
                assert not any(each and each in answer.text for each in (credential.token, credential.key))


async def test_a_request_with_several_credentials_is_judged_by_none_of_them_alone(judged: Judged) -> None:
    known = judged.credentials
    ada, secret = f"Bearer {known['ada'].token}", str(known["secret key"].key)
    publishable = str(known["publishable key"].key)
    several: list[list[tuple[str, str]]] = [
        [("Authorization", ada), ("apikey", secret)],
        [("Authorization", ada), ("apikey", REST_KEY)],
        [("Authorization", ada), ("Authorization", ada)],
        [("Authorization", ada), ("Authorization", f"Bearer {secret}")],
        [("Authorization", f"Bearer {REST_KEY}"), ("apikey", secret)],
        [("apikey", publishable), ("apikey", secret)],
        [("Authorization", f"Bearer {publishable}"), ("apikey", secret)],
    ]
    async with httpx.AsyncClient(base_url=f"{judged.server.url}/realtime", timeout=GIVE_UP_AFTER) as http:
        for headers in several:
            for path in ("/connections", "/channels/chat:1/messages"):
                answer = await http.get(path, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (400, "RT_007"), headers
        for query in ({"apikey": secret}, {"token": ada}, {"apikey": publishable}):
            for path in ("/connections", "/channels/chat:1/messages"):
                answer = await http.get(path, params=query)
                assert (answer.status_code, answer.json()["code"]) == (401, "RT_002"), query
