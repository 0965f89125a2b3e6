"""Logging is configured for the whole process: each test leaves it as it was."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quieter = {name: logging.getLogger(name).level for name in ("uvicorn", "realtime.ws", "httpx", "httpcore")}
    before = structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, each in quieter.items():
        logging.getLogger(name).setLevel(each)
    structlog.configure(**before)
