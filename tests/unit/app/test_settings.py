"""Where a setting comes from, and what a wrong one reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.app.loading import load_settings
from server.app.settings import SettingsError
from server.limits.connection_limits import ConnectionLimits


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REALTIME_DSN", raising=False)


def toml(folder: Path, text: str) -> Path:
    path = folder / "realtime.toml"
    path.write_text(text)
    return path


def test_flags_win_over_the_environment_over_the_file_over_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = toml(tmp_path, 'port = 1\nhost = "file"\nslot_name = "from_file"\n')
    monkeypatch.setenv("REALTIME_PORT", "2")
    monkeypatch.setenv("REALTIME_HOST", "environment")
    settings = load_settings(file, port=3)
    assert (settings.port, settings.host, settings.slot_name) == (3, "environment", "from_file")
    assert settings.max_subscriptions == 100


def test_the_bounds_of_a_client_that_is_not_authenticated_yet_can_be_set(tmp_path: Path) -> None:
    limits = load_settings(toml(tmp_path, "authentication_timeout = 60\nmax_early_size = 1048576\n")).connection_limits
    assert (limits.authentication_timeout, limits.early_size) == (60.0, 1 << 20)
    assert load_settings(None).connection_limits == ConnectionLimits()


def test_a_flag_that_was_not_given_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_PORT", "2")
    assert load_settings(port=None).port == 2


def test_the_former_name_of_a_setting_counts_where_the_new_one_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings(toml(tmp_path, "throw_away = true")).ephemeral
    monkeypatch.setenv("REALTIME_THROW_AWAY", "true")
    assert load_settings().ephemeral
    assert not load_settings(ephemeral=False).ephemeral


def test_lists_can_stand_in_the_environment_and_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = toml(tmp_path, 'allowed_origins = ["https://A.example/"]\n')
    assert load_settings(file).allowed_origins == ("https://a.example",)
    monkeypatch.setenv("REALTIME_ALLOWED_ORIGINS", "https://b.example, https://c.example")
    assert load_settings(file).allowed_origins == ("https://b.example", "https://c.example")
    monkeypatch.setenv("REALTIME_ALLOWED_ORIGINS", '["https://d.example"]')
    assert load_settings(file).allowed_origins == ("https://d.example",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("prot = 8000\n", "prot"),
        ("port = 100000\n", "port"),
        ('port = "many"\n', "many"),
        ('decoder = "test_decoding"\n', "decoder"),
        ("port = \n", r"realtime\.toml:1: the file cannot be read"),
        ('slot_name = "Upper-Case"\n', "slot_name"),
        ("proxy_protocol = true\n", "proxy_protocol is given without trusted_proxies"),
        (
            'proxy_protocol = true\ntrusted_proxies = ["10.0.0.1"]\ntls_certificate = "a.pem"\n',
            "proxy_protocol and tls_certificate exclude each other",
        ),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        load_settings(toml(tmp_path, text))


def test_a_wrong_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_PORT", "many")
    with pytest.raises(SettingsError, match=r"port.*many"):
        load_settings()


def test_a_configuration_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml does not exist"):
        load_settings(tmp_path / "nowhere.toml")


def test_a_password_never_stands_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTIME_DSN", "postgresql://u:secret@h/d")
    monkeypatch.setenv("REALTIME_PORT", "many")
    with pytest.raises(SettingsError) as wrong:
        load_settings()
    assert "secret" not in str(wrong.value)
