"""The OpenAPI 3.1 description, made from the endpoints and their models."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from server.auth.api_keys import READER
from server.auth.identity import API_KEY
from server.http.problems import BY_CODE, ProblemDocument
from server.protocol.error_codes import ErrorCode
from server.rest.description.endpoint import MAX_NAME, Endpoint

__all__ = ["openapi"]

_REF = "#/components/schemas/{model}"
_DESCRIPTIONS = {
    "id": "The channel's name, percent-encoded where it must be: `chat:room-123` or `chat%3Aroom-123`.",
    "nodeId": "The node, as `GET /realtime/nodes` has it.",
    "connectionId": "The connection's id, as sent to its client in `connected`.",
    "ruleName": "The rule's name.",
    "queryId": "The query's id, as `/live-queries` lists it.",
    "sessionId": "The session's id: the claim `sid` of its tokens.",
}
_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": r"^[^\x00-\x1f\x7f]+$"}
_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "The rest_key, or a secret API key, which may be limited to some of the scopes.",
}
_TOKEN = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A user's token, for a client."}
_ADMINISTRATOR = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "The token of a user whose role is the `admin_role` of its issuer: it may do everything.",
}
_PUBLISHABLE = {
    "type": "apiKey",
    "in": "header",
    "name": API_KEY,
    "description": "A publishable API key, for a client: alone, or beside a user's token.",
}
_ALWAYS = (
    ErrorCode.CONNECTION_FAILED,
    ErrorCode.AUTHENTICATION_FAILED,
    ErrorCode.PERMISSION_DENIED,
    ErrorCode.INVALID_MESSAGE,
)
_SCHEMES = {"key": _KEY, "administrator": _ADMINISTRATOR, "token": _TOKEN, "publishableKey": _PUBLISHABLE}
_Models = Mapping[Any, dict[str, Any]]


def openapi(endpoints: Sequence[Endpoint], version: str, *, keyed: bool) -> dict[str, Any]:
    """The description. ``keyed``: every request needs a key."""
    models, definitions = _schemas(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, models)
        if endpoint.clients is not None:
            operation["security"] = _security(keyed=keyed, clients=True)
        paths.setdefault(f"/realtime{endpoint.path}", {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Bunbase Realtime",
            "version": version,
            "description": "For servers: publish, look, and manage. Everything here is also there in SQL. Clients may "
            "publish.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": definitions["$defs"], "securitySchemes": _SCHEMES},
        "security": _security(keyed=keyed),
    }


def _security(*, keyed: bool, clients: bool = False) -> list[dict[str, list[str]]]:
    """What a request may come with; nothing: from the server's own machine."""
    named = ("key", "token", "publishableKey") if clients else ("key", "administrator")
    needed: list[dict[str, list[str]]] = [{name: []} for name in named]
    return needed if keyed else [*needed, {}]


def _schemas(endpoints: Sequence[Endpoint]) -> tuple[_Models, dict[str, Any]]:
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ProblemDocument, "serialization")]
    for endpoint in endpoints:
        if endpoint.body is not None:
            wanted.append((endpoint.body, "validation"))
        if endpoint.answer is not None:
            wanted.append((endpoint.answer, "serialization"))
    return models_json_schema(list(dict.fromkeys(wanted)), ref_template=_REF)


def _operation(endpoint: Endpoint, models: _Models) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint)],
        "responses": _responses(endpoint, models),
        "description": f"{endpoint.description} {_scopes(endpoint)}".strip(),
    }
    if endpoint.body is not None:
        content = {"application/json": {"schema": models[endpoint.body, "validation"]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _scopes(endpoint: Endpoint) -> str:
    if endpoint.method != "GET" or endpoint.scope == READER:
        return f"Scope of API keys: `{endpoint.scope}`."
    return f"Scope of API keys: `{endpoint.scope}` or `{READER}`."


def _responses(endpoint: Endpoint, models: _Models) -> dict[str, Any]:
    done: dict[str, Any] = {"description": endpoint.status.phrase}
    if endpoint.answer is not None:
        done["content"] = {"application/json": {"schema": models[endpoint.answer, "serialization"]}}
    codes = {*endpoint.problems, *_ALWAYS}
    if endpoint.body is not None:
        codes.add(ErrorCode.MESSAGE_TOO_LARGE)
    by_status: dict[int, list[ErrorCode]] = {}
    for code in sorted(codes):
        by_status.setdefault(BY_CODE[code], []).append(code)
    problem = {"application/problem+json": {"schema": models[ProblemDocument, "serialization"]}}
    failures = {
        str(int(status)): {"description": ", ".join(reasons), "content": problem}
        for status, reasons in sorted(by_status.items())
    }
    if endpoint.body is not None:
        failures["415"] = {
            "description": f"{ErrorCode.INVALID_MESSAGE}: the body is not application/json",
            "content": problem,
        }
    if endpoint.conflict:
        failures["409"] = {"description": f"{ErrorCode.INVALID_MESSAGE}: {endpoint.conflict}", "content": problem}
    return {str(int(endpoint.status)): done, **failures}


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "description": _DESCRIPTIONS[name], "schema": _NAME}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    schema = endpoint.query.model_json_schema()
    parameters = []
    for name, field in schema["properties"].items():
        rest = {key: value for key, value in field.items() if key not in ("description", "title")}
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "description": field.get("description", ""),
                "schema": rest,
            }
        )
    return parameters
