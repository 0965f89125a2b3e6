"""Answers that pages of other origins may read (CORS), at the addresses that are for browsers."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from server.auth.origins import origin_pattern

__all__ = ["cross_origin"]


def cross_origin(app: ASGIApp, method: str, origins: Sequence[str]) -> ASGIApp:
    """``app``, whose answers to ``method`` pages of ``origins`` may read; ``*`` is any. No cookie is ever sent along."""
    if "*" in origins:
        return CORSMiddleware(app, allow_origins=["*"], allow_methods=[method], allow_headers=["*"], max_age=3600)
    pattern = origin_pattern(origins)
    return CORSMiddleware(app, allow_origin_regex=pattern, allow_methods=[method], allow_headers=["*"], max_age=3600)
