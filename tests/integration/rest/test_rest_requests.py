"""Requests made from the description of the REST API: each answer is one that the description has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.rest import ENDPOINTS
from tests.integration.rest.test_rest_description import fits, resolve
from tests.support.servers.rest_api import LOCAL, api, problem, rest_over

_TEXTS = st.one_of(
    st.sampled_from(
        ["a", "chat:1", "private:x", "*", "db:x", "\0", "\n", "\ud800", "é", "0/1/1", "x" * 255, "x" * 256]
    ),
    st.text(max_size=8),
)
_ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), _TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXTS, inner, max_size=3)),
    max_leaves=5,
)


def values(document: Mapping[str, Any], schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a schema, and now and then others."""
    return st.integers(0, 9).flatmap(lambda chance: _ANYTHING if chance == 0 else _fitting(document, schema))


def _fitting(document: Mapping[str, Any], schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    schema = resolve(document, schema)
    if "anyOf" in schema:
        return st.one_of([values(document, each) for each in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    match schema.get("type"):
        case "object" if "properties" in schema:
            required = schema.get("required", ())
            fields = {name: values(document, each) for name, each in schema["properties"].items()}
            return st.fixed_dictionaries(
                {name: each for name, each in fields.items() if name in required},
                optional={name: each for name, each in fields.items() if name not in required},
            )
        case "array":
            return st.lists(values(document, schema.get("items", {})), max_size=3)
        case "string":
            return _TEXTS
        case "integer":
            return st.one_of(st.integers(schema.get("minimum"), schema.get("maximum")), st.integers())
        case "boolean":
            return st.booleans()
    return _ANYTHING


@st.composite
def requests(
    draw: st.DrawFn, document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]
) -> httpx.Request:
    """A request of one operation."""
    query: list[str] = []
    for parameter in operation["parameters"]:
        value = draw(values(document, parameter["schema"]))
        text = (value if isinstance(value, str) else json.dumps(value)).encode(errors="surrogatepass")
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", quote(text, safe=""))
        elif parameter["required"] or draw(st.booleans()):
            query.append(f"{parameter['name']}={quote(text, safe='')}")
    url = f"{LOCAL}{path}?{'&'.join(query)}"
    if "requestBody" not in operation:
        return httpx.Request(method, url)
    body = draw(values(document, operation["requestBody"]["content"]["application/json"]["schema"]))
    return httpx.Request(method, url, content=json.dumps(body), headers={"Content-Type": "application/json"})


class Asking:
    """Asks the API over ``dsn`` in a loop of its own, so that Hypothesis can be the caller."""

    def __init__(self, runner: asyncio.Runner, dsn: str) -> None:
        self._runner = runner
        self._rest = rest_over(dsn)
        self._http = api(self._rest)

    def begin(self) -> Mapping[str, Any]:
        """The description of the API."""
        self._runner.run(self._rest.start())
        document: Mapping[str, Any] = self._runner.run(self._http.get("/realtime/openapi.json")).json()
        return document

    def end(self) -> None:
        self._runner.run(self._http.aclose())
        self._runner.run(self._rest.stop())

    def try_operation(self, document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> None:
        """Some requests, always the same ones."""

        def answered(request: httpx.Request) -> None:
            _check(document, operation, self._runner.run(self._http.send(request)))

        some = settings(max_examples=25, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
        some(given(requests(document, method, path, operation))(answered))()


def test_requests_made_from_the_description_are_answered_as_it_announces(database: str) -> None:
    tried = 0
    with asyncio.Runner() as runner:
        asking = Asking(runner, database)
        document = asking.begin()
        try:
            for path, methods in document["paths"].items():
                for method, operation in methods.items():
                    asking.try_operation(document, method.upper(), path, operation)
                    tried += 1
        finally:
            asking.end()
    assert tried == len(ENDPOINTS)


def _check(document: Mapping[str, Any], operation: Mapping[str, Any], answer: httpx.Response) -> None:
    status = str(answer.status_code)
    assert answer.status_code < 500, answer.text
    # An empty or other path is another address, which need not be described.
    assert status in operation["responses"] or status in ("404", "405"), (operation["operationId"], status, answer.text)
    if not answer.is_success:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"].startswith("RT_")
    elif "content" in operation["responses"][status]:
        schema = operation["responses"][status]["content"]["application/json"]["schema"]
        assert fits(document, schema, answer.json()), answer.text


def test_bodies_are_read_strictly() -> None:
    """A boolean is no number, and a number no text."""
    assert [each.name for each in ENDPOINTS if each.body is not None and not each.body.model_config.get("strict")] == []


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("alerts?after=x", "after: give what next of the page before is"),
        ("alerts?after=99999999999999999999", "after: give what next of the page before is"),
        ("alerts?after=-1", "after: give what next of the page before is"),
        ("analytics/summary?to=0.5", "to: a time is like 2026-11-29T20:00:00Z"),
        ("analytics/series?from=1700000000", "from: a time is like 2026-11-29T20:00:00Z"),
        ("analytics/channels?to=0001-01-01T00:00:00Z", "to: a time is between 1970 and 9999"),
        ("analytics/countries?to=9999-12-31T23:59:59Z", "to: a time is between 1970 and 9999"),
    ],
)
async def test_what_postgres_or_pydantic_would_take_in_another_way_is_refused(
    http: httpx.AsyncClient, address: str, reason: str
) -> None:
    assert problem(await http.get(f"/realtime/{address}"), 400, "RT_007") == reason


async def test_a_reason_is_not_introduced_by_the_name_of_an_exception(http: httpx.AsyncClient) -> None:
    body = {"event": "e", "audience": {"where": [{}]}}
    reason = problem(await http.post("/realtime/channels/a/broadcast", json=body), 400, "RT_007")
    assert reason.startswith("audience.where: a group of conditions is ")


@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if "{" in each.path], ids=lambda each: each.name)
async def test_a_name_that_is_longer_than_the_description_allows_is_refused(
    http: httpx.AsyncClient, endpoint: Any
) -> None:
    path = "/".join("x" * 256 if part.startswith("{") else part for part in endpoint.segments)
    answer = await http.request(endpoint.method, f"/realtime/{path}", json={"userId": "ada", "event": "e"})
    assert problem(answer, 400, "RT_007") == "names have at most 255 characters"
