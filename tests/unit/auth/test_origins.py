"""Which pages may connect."""

from __future__ import annotations

import pytest

from server.app.loading import load_settings
from server.auth.identity import HandshakeRejectedError
from server.auth.origins import LOCAL_ORIGINS, check_origin
from server.cli.dev import _for_pages_of_this_machine

FOREIGN = (
    "https://evil.example",
    "http://localhost.evil.example",
    "http://localhost:8000.evil.example",
    "http://localhost:8000@evil.example",
    "http://localhost:",
    "http://localhost:80a",
    "http://localhost:123456",
    "http://127.0.0.1.nip.io",
    "http://127x0.0.1",
    "file://",
    "null",
    "",
)


def allowed(origin: str | None, *origins: str) -> bool:
    try:
        check_origin(origin, origins)
    except HandshakeRejectedError:
        return False
    return True


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_development_server_refuses_pages_of_other_sites(origin: str) -> None:
    settings = _for_pages_of_this_machine(load_settings(None, trust_user_parameter=True))
    assert not allowed(origin, *settings.allowed_origins)


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:8000",
        "http://localhost",
        "HTTPS://LocalHost:5173",
        "http://127.0.0.1:3000",
        "http://[::1]:1",
        None,
    ],
)
def test_a_development_server_lets_in_pages_of_its_machine_and_programs(origin: str | None) -> None:
    assert allowed(origin, *LOCAL_ORIGINS)


def test_the_origins_of_a_development_server_can_be_chosen() -> None:
    chosen = load_settings(None, allowed_origins=("*",))
    assert _for_pages_of_this_machine(chosen).allowed_origins == ("*",)
    for_all = load_settings(None, host="0.0.0.0")
    assert _for_pages_of_this_machine(for_all).allowed_origins == ("*",)


def test_origins_are_compared_in_full() -> None:
    assert allowed("https://app.example", "https://app.example")
    assert not allowed("https://app.example.evil", "https://app.example")
    assert not allowed("https://appxexample", "https://app.example")
    assert not allowed("https://app.example:444", "https://app.example")
    assert allowed("https://app.example:444", "https://app.example:*")
    assert allowed("https://evil.example", "*")
    assert not allowed("https://app.example")
