"""What the REST API reports of itself is what it takes and gives."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx

from server.rest import ENDPOINTS
from server.rest.description.docs import _example
from tests.support.clients.list_client import write
from tests.support.servers.rest_api import FIGURES, USER_ROWS


def resolve(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def fits(document: Mapping[str, Any], schema: Mapping[str, Any], value: object) -> bool:
    """Whether a value is what a schema reports; as much of JSON Schema as the description uses."""
    schema = resolve(document, schema)
    if "anyOf" in schema:
        return any(fits(document, each, value) for each in schema["anyOf"])
    if "const" in schema:
        return bool(value == schema["const"])
    kinds: dict[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
    }
    kind = schema.get("type")
    if kind == "null":
        return value is None
    if kind is not None and not isinstance(value, kinds[kind]):
        return False
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        return set(schema.get("required", ())) <= set(value) <= set(known) and all(
            fits(document, known[name], each) for name, each in value.items()
        )
    if isinstance(value, list) and "items" in schema:
        return all(fits(document, schema["items"], each) for each in value)
    return True


async def test_the_description_has_the_parameters_and_answers_of_every_endpoint(
    http: httpx.AsyncClient, database: str
) -> None:
    write(database, USER_ROWS, *FIGURES.split(";\n"))
    write(database, "insert into realtime.sessions (id, user_id) values ('s1', 'ada'), ('s2', 'ada')")
    document = (await http.get("/realtime/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    bodies: dict[str, object] = {
        "broadcast": {"event": "e", "data": {"a": 1}},
        "broadcastWidely": {"event": "e", "channels": ["room"], "audience": {"exclude": {"sender": True}}},
        "kick": {"userId": "ada"},
        "createChannel": {"name": "room"},
        "changeChannel": {"capacity": 3},
        "moveClients": {"share": 0.5},
        "testRules": {"action": "publish", "channel": "room"},
        "changeAlertRule": {"threshold": 7, "clearAt": None, "hold": 1.5, "severity": "info", "enabled": False},
    }
    order = [
        "createChannel",
        "broadcast",
        "broadcastWidely",
        "listMessages",
        "getPresence",
        "kick",
        "listChannels",
        "getChannel",
    ]
    order += [
        "listNodes",
        "moveClients",
        "listSlots",
        "getLatency",
        "listActiveChannels",
        "listLiveQueries",
        "explainLiveQuery",
    ]
    order += ["listAlerts", "changeAlertRule", "listAlertRules"]
    order += ["getAnalyticsSummary", "getAnalyticsSeries", "listPopularChannels", "listCountries", "listPeaks"]
    order += ["testRules", "changeChannel", "closeChannel", "listConnections", "getConnection"]
    order += ["disconnect", "disconnectUser"]
    order += ["listSessions", "revokeSession", "revokeUserSessions"]
    operations = {
        operation["operationId"]: (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert sorted(operations) == sorted(order) == sorted(endpoint.name for endpoint in ENDPOINTS)
    for name in order:
        path, method, operation = operations[name]
        assert {p["name"] for p in operation["parameters"] if p["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
        ids = {
            "id": "room",
            "connectionId": "c3",
            "sessionId": "s1",
            "queryId": "q1",
            "ruleName": "slot_lag",
            "nodeId": "n1",
        }
        url = path.format(**ids)
        required = {p["name"]: "ada" for p in operation["parameters"] if p["in"] == "query" and p["required"]}
        body = bodies.get(name)
        assert ("requestBody" in operation) == (body is not None)
        if body is not None:
            assert fits(document, operation["requestBody"]["content"]["application/json"]["schema"], body)
        answer = await http.request(method, url, params=required, json=body)
        assert str(answer.status_code) in operation["responses"], (name, answer.text)
        assert answer.is_success, (name, answer.text)
        content = operation["responses"][str(answer.status_code)].get("content")
        if content is None:
            assert answer.content == b""
        else:
            assert fits(document, content["application/json"]["schema"], answer.json()), (name, answer.text)
        for status, described in operation["responses"].items():
            if status >= "4":
                schema = described["content"]["application/problem+json"]["schema"]
                assert "code" in resolve(document, schema)["properties"]


async def test_every_reference_in_the_description_leads_somewhere(http: httpx.AsyncClient) -> None:
    text = (await http.get("/realtime/openapi.json")).text
    document = json.loads(text)
    for reference in set(re.findall(r'"\$ref":"([^"]+)"', text.replace(": ", ":"))):
        assert resolve(document, {"$ref": reference})


async def test_the_page_lists_every_endpoint_and_loads_nothing(keyed: httpx.AsyncClient) -> None:
    answer = await keyed.get("/realtime/docs")
    assert answer.headers["content-type"].startswith("text/html")
    for endpoint in ENDPOINTS:
        assert f'id="{endpoint.name}"' in answer.text
    assert not re.search(r"<script|<link|src=|url\(|https?://(?!localhost)", answer.text)


def test_the_endpoints_take_the_bodies_of_their_examples() -> None:
    for endpoint in ENDPOINTS:
        if endpoint.body is not None:
            [body] = re.findall("--json '(.*)'", _example(endpoint, {"security": [{}]}))
            endpoint.body.model_validate_json(body)
