"""``?user=`` in an address: where it is believed, and what ``realtime dev`` prints about that."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from server.app.loading import load_settings
from server.app.settings import Settings
from server.cli.dev import clients_of, with_users_of_addresses
from server.cli.main import app

CASES: list[tuple[dict[str, Any], bool, str]] = [
    ({}, True, "anonymous, or the user of ?user= in the address"),
    ({"allow_anonymous": False}, False, "with a token only"),
    ({"allow_anonymous": True}, True, "anonymous, or the user of ?user= in the address"),
    ({"trust_user_parameter": False}, False, "anonymous. Without a token"),
    ({"allow_anonymous": False, "trust_user_parameter": True}, True, "with a token, or the user of ?user="),
]


@pytest.mark.parametrize(("given", "believed", "printed"), CASES)
def test_a_development_server_believes_them_unless_clients_need_a_token(
    given: dict[str, Any], believed: bool, printed: str
) -> None:
    settings = with_users_of_addresses(load_settings(None, **given))
    assert settings.trust_user_parameter is believed
    assert clients_of(settings).startswith(printed)


def test_the_command_leaves_the_setting_to_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[Settings] = []
    monkeypatch.setattr("server.cli.dev.run_dev", lambda settings, _: run.append(settings))
    monkeypatch.setattr("server.cli.prelude.configure_logs", lambda *_: None)  # it is for the whole process
    for value in ("false", None):
        if value is not None:
            monkeypatch.setenv("REALTIME_TRUST_USER_PARAMETER", value)
        assert CliRunner().invoke(app, ["dev"]).exit_code == 0
        monkeypatch.delenv("REALTIME_TRUST_USER_PARAMETER", raising=False)
    assert [with_users_of_addresses(each).trust_user_parameter for each in run] == [False, True]


@pytest.mark.parametrize(
    ("options", "given", "channels", "printed"),
    [
        ((), None, ("chat:*", "presence:*"), "the channels public:*, chat:*, presence:*, and"),
        (("--no-examples",), None, (), "the channels public:*, and"),
        (("--dsn", "dbname=app"), None, (), "the channels public:*, and"),
        (("--dsn", "dbname=app", "--examples"), None, ("chat:*", "presence:*"), "chat:*, presence:*, and"),
        (("--dsn", "dbname=app"), '["news:*"]', ("news:*",), "the channels public:*, news:*, and"),
    ],
)
def test_a_development_server_opens_the_channels_of_its_examples_where_it_has_them(
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    given: str | None,
    channels: tuple[str, ...],
    printed: str,
) -> None:
    run: list[Settings] = []
    monkeypatch.setattr("server.cli.dev.run_dev", lambda settings, _: run.append(settings))
    monkeypatch.setattr("server.cli.prelude.configure_logs", lambda *_: None)
    if given is not None:
        monkeypatch.setenv("REALTIME_ANONYMOUS_CHANNELS", given)
    assert CliRunner().invoke(app, ["dev", *options]).exit_code == 0
    assert run[0].anonymous_channels == channels
    assert printed in clients_of(run[0])


@pytest.mark.parametrize("given", [{}, {"allow_anonymous": True}, {"allow_anonymous": False}])
def test_other_servers_believe_none_unless_the_setting_is_given(given: dict[str, Any]) -> None:
    assert not load_settings(None, **given).trust_user_parameter
