"""The API's description as a page, made once from the OpenAPI document; no scripts, no external resources."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any, Final

import orjson

from server.http.security_headers import page_policy
from server.rest.description.endpoint import Endpoint

__all__ = ["DOCS_HEADERS", "docs_page"]

_STYLE: Final = (Path(__file__).parent / "docs.css").read_text()
DOCS_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": page_policy(
        style_src=f"'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
    ),
}
_Schema = Mapping[str, Any]


def docs_page(endpoints: Sequence[Endpoint], document: Mapping[str, Any]) -> str:
    """The page of ``document``, which describes ``endpoints``."""
    schemas = document["components"]["schemas"]
    access = (
        "Requests carry the header <code>Authorization: Bearer KEY</code> with the server’s <code>rest_key</code>, a "
        "secret API key, or the token of an administrator."
    )
    if {} in document["security"]:
        access += " Requests from the server’s own machine need none."
    contents = "".join(
        f'<li><a href="#{endpoint.name}">{_method(endpoint)}<span>{escape(endpoint.summary)}</span></a></li>'
        for endpoint in endpoints
    )
    sections = "".join(_section(endpoint, document, schemas) for endpoint in endpoints)
    info = document["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>REST API · {escape(info['title'])}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(info['title'])}: REST API</h1><p>{escape(info['description'])} {access} Errors are "
        "<code>application/problem+json</code> with a <code>code</code>. "
        'Machines read <a href="openapi.json">openapi.json</a>.'
        f'</p><nav aria-label="Endpoints"><ul>{contents}</ul></nav>{sections}</main></body></html>'
    )


def _method(endpoint: Endpoint) -> str:
    return f'<span class="method" data-method="{endpoint.method}">{endpoint.method}</span>'


def _section(endpoint: Endpoint, document: Mapping[str, Any], schemas: _Schema) -> str:
    operation = document["paths"][f"/realtime{endpoint.path}"][endpoint.method.lower()]
    parts = [
        f'<section id="{endpoint.name}"><h2>{_method(endpoint)}<code>/realtime{escape(endpoint.path)}</code></h2>'
        f"<p>{escape(endpoint.summary)}. {_prose(operation['description'])}</p>"
    ]
    if operation["parameters"]:
        rows = [(p["name"], p["schema"], p["description"], p["required"]) for p in operation["parameters"]]
        parts.append(f"<h3>Parameters</h3>{_table(rows, schemas)}")
    if "requestBody" in operation:
        parts.append(f"<h3>Body</h3>{_fields(_content(operation['requestBody']), schemas)}")
    for status, answer in operation["responses"].items():
        if status.startswith("2") and "content" in answer:
            parts.append(f"<h3>Answer {status}</h3>{_fields(_content(answer), schemas)}")
        elif status.startswith("2"):
            parts.append(f"<h3>Answer {status}</h3><p>{escape(answer['description'])}</p>")
    problems = ", ".join(f"{s} {escape(a['description'])}" for s, a in operation["responses"].items() if s >= "4")
    parts.append(f'<p class="quiet">Errors: {problems}.</p><pre>{escape(_example(endpoint, document))}</pre></section>')
    return "".join(parts)


def _content(part: _Schema) -> _Schema:
    schema: _Schema = part["content"]["application/json"]["schema"]
    return schema


def _fields(schema: _Schema, schemas: _Schema) -> str:
    schema = _resolved(schema, schemas)
    required = schema.get("required", ())
    rows = [
        (name, field, field.get("description", ""), name in required) for name, field in schema["properties"].items()
    ]
    return _table(rows, schemas)


def _table(rows: Sequence[tuple[str, _Schema, str, bool]], schemas: _Schema) -> str:
    lines = "".join(
        f'<tr><th scope="row"><code>{escape(name)}</code></th><td>{escape(_type(schema, schemas))}'
        f"{', required' if required else ''}</td><td>{_prose(field)}</td></tr>"
        for name, schema, field, required in rows
    )
    return f'<div class="wide"><table><tbody>{lines}</tbody></table></div>'


def _type(schema: _Schema, schemas: _Schema, depth: int = 0) -> str:
    """A schema in a few words; an object of the API is described by its fields."""
    if "$ref" in schema:
        resolved = _resolved(schema, schemas)
        names = ", ".join(resolved.get("properties", ()))
        return f"object ({names})" if depth < 2 and names else "object"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(each, schemas, depth) for each in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}), schemas, depth + 1)}"
    if "const" in schema:
        return str(schema["const"])
    return str(schema.get("format") or schema.get("type") or "any JSON")


def _resolved(schema: _Schema, schemas: _Schema) -> _Schema:
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _prose(text: str) -> str:
    """Text with its `code`."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def _example(endpoint: Endpoint, document: Mapping[str, Any]) -> str:
    path = endpoint.path.replace("{id}", "chat:room-123").replace("{connectionId}", "3f9a5c02b7d1-5e0c6a4f")
    lines = [f"curl {'' if endpoint.method == 'GET' else f'-X {endpoint.method} '}http://localhost:8000/realtime{path}"]
    if {} not in document["security"]:
        lines.append('-H "Authorization: Bearer $KEY"')
    if endpoint.body is not None:
        fields = endpoint.body.model_fields.items()
        body = {f.alias or name: f.examples[0] for name, f in fields if f.examples} or {"metadata": {"topic": "Tea"}}
        lines.append(f"--json '{orjson.dumps(body).decode()}'")
    return " \\\n  ".join(lines)
