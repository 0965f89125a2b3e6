"""``GET /realtime/sdk.js``: the SDK for pages of any origin (``<script type="module">``)."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from server.browser_sdk.modules import ENTRIES, SdkModules, load_modules

__all__ = ["sdk_routes"]

_HEADERS: Final[Mapping[str, str]] = {
    "Access-Control-Allow-Origin": "*",  # modules are loaded by CORS; these have no secrets
    "Vary": "Accept-Encoding",
}
_FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}
_REVALIDATED: Final = {"Cache-Control": "no-cache"}


def sdk_routes() -> list[BaseRoute]:
    """Its routes. The modules are made or read when they are first asked for."""
    return [
        Route("/realtime/sdk.js", _entry, methods=["GET"]),
        Route("/realtime/sdk/{name}", _entry, methods=["GET"]),
        Route("/realtime/sdk/{digest}/{path:path}", _module, methods=["GET"]),
    ]


async def _entry(request: Request) -> Response:
    sdk = await _loaded()
    address = request.scope["path"].removeprefix("/realtime/")
    text = sdk.entry(address)
    if text is None:
        raise HTTPException(404, f"the SDK has no entry {address!r}: there are {', '.join(ENTRIES)}")
    tag = f'"{sdk.digest}"'
    headers = {**_HEADERS, **_REVALIDATED, "ETag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(text, media_type="text/javascript", headers=headers)


async def _module(request: Request) -> Response:
    sdk = await _loaded()
    digest, path = request.path_params["digest"], request.path_params["path"]
    if digest != sdk.digest or path not in sdk.modules:
        raise HTTPException(404, "this server has no such module of the SDK: load /realtime/sdk.js again")
    headers = {**_HEADERS, **_FOR_EVER}
    if "gzip" in request.headers.get("accept-encoding", ""):
        content, headers = _compressed(sdk.modules[path]), {**headers, "Content-Encoding": "gzip"}
    else:
        content = sdk.modules[path].encode()
    return Response(content, media_type="text/javascript", headers=headers)


async def _loaded() -> SdkModules:
    return await run_in_threadpool(load_modules)


@cache
def _compressed(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)
