"""What the server uses of libraries without their promise to keep it: an upgrade that takes it away fails here, by name."""

from __future__ import annotations

import inspect

import pytest
from psycopg import generators
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.app.uvicorn_http import HttpProtocol


@pytest.mark.parametrize("hook", ["_should_upgrade", "handle_websocket_upgrade", "send_400_response"])
def test_uvicorn_calls_the_methods_that_our_protocol_overrides(hook: str) -> None:
    ours, theirs = (inspect.signature(getattr(each, hook)) for each in (HttpProtocol, H11Protocol))
    assert list(ours.parameters) == list(theirs.parameters)
    callers = {
        name for name, method in inspect.getmembers(H11Protocol, inspect.isfunction) if hook in method.__code__.co_names
    }
    assert callers & {"data_received", "handle_events"}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("send", ["pgconn"]),
        ("fetch", ["pgconn"]),
        ("fetch_many", ["pgconn"]),
        ("execute", ["pgconn"]),
        ("copy_to", ["pgconn", "buffer", "flush"]),
    ],
)
def test_psycopg_has_the_generators_that_replication_and_single_statements_are_written_with(
    name: str, parameters: list[str]
) -> None:
    assert list(inspect.signature(getattr(generators, name)).parameters) == parameters
